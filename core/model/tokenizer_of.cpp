#include "core/model/tokenizer_of.h"

#include "core/base/error.h"

namespace vitrine {

namespace fs = std::filesystem;

namespace {

TokenizerSource source_of(const Checkpoint& checkpoint) {
  TokenizerSource source;
  source.where = checkpoint.path.string();
  if (checkpoint.format == "gguf" || checkpoint.metadata.has("tokenizer.ggml.model")) {
    source.gguf = &checkpoint.metadata;
  } else {
    source.folder = fs::is_directory(checkpoint.path) ? checkpoint.path : checkpoint.path.parent_path();
  }
  return source;
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const Checkpoint& checkpoint) { return load_tokenizer(source_of(checkpoint)); }

Vocabulary vocabulary_of(const Checkpoint& checkpoint) {
  const TokenizerSource source = source_of(checkpoint);
  return source.gguf ? read_gguf_vocabulary(*source.gguf, source.where) : read_folder_vocabulary(source.folder);
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  std::unique_ptr<Tokenizer> tokenizer;
  if (fs::is_directory(path)) tokenizer = load_tokenizer({path.string(), nullptr, path});
  if (!tokenizer) tokenizer = tokenizer_of(open_checkpoint(path));
  if (!tokenizer) throw Error({path.string(), "a tokenizer", "none", ""});
  return tokenizer;
}

}  // namespace vitrine
