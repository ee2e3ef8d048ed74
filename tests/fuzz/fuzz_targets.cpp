#include "tests/fuzz/fuzz_targets.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/decode/grammar/json_schema.h"
#include "core/decode/grammar/random_text.h"
#include "core/model/model.h"
#include "core/text/tokenizer.h"
#include "core/base/csv.h"
#include "experiments/data/text_lists.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

fs::path pytorch(const char* name) { return fs::path(VITRINE_TEST_DATA) / "core" / "checkpoint" / "pytorch" / name; }
fs::path golden(const char* name) { return fs::path(VITRINE_TEST_DATA) / "golden" / name; }

/// A folder of this process, in memory where the system has such a place.
const fs::path& scratch() {
  struct Folder {
    fs::path path;
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  };
  static const Folder folder{[] {
    const fs::path memory("/dev/shm");
    const fs::path made = (fs::is_directory(memory) ? memory : fs::temp_directory_path()) / ("vitrine_fuzz" + std::to_string(getpid()));
    fs::create_directories(made);
    return made;
  }()};
  return folder.path;
}

fs::path write(const char* name, std::string_view bytes) {
  const fs::path path = scratch() / name;
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

void encode_some(const Tokenizer& tokenizer) {
  for (const std::string_view text : {"Hello w\u00f6rld \u6771\u4eac <s>[MASK]", "  \n\t 12345 \xff\xfe x", ""}) {
    std::vector<TokenId> ids;
    for (const Token& token : tokenizer.encode(text, {})) {
      VITRINE_CHECK(token.begin <= token.end && token.end <= text.size());
      ids.push_back(token.id);
    }
    tokenizer.decode(ids);
  }
}

template <typename Work>
void only_errors(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    VITRINE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
}

void load(const fs::path& path) {
  only_errors([&] {
    const Model model = load_model(path);
    if (model.tokenizer) encode_some(*model.tokenizer);
  });
}

void run_gguf(std::string_view bytes) { load(write("model.gguf", bytes)); }

void run_safetensors(std::string_view bytes) {
  static const std::string config = read(golden("llama/model/config.json"));
  write("config.json", config);
  load(write("model.safetensors", bytes));
}

void run_pytorch(std::string_view bytes) {
  static const std::string config = read(golden("llama/model/config.json"));
  write("config.json", config);
  load(write("pytorch_model.bin", bytes));
}

fs::path seed(const char* name) { return fs::path(VITRINE_TEST_DATA) / "fuzz" / "seeds" / name; }

void run_llama2c(std::string_view bytes) {
  static const std::string tokenizer = read(seed("llama2c_tokenizer/tok270.bin"));
  write("tok270.bin", tokenizer);
  load(write("model.bin", bytes));
}

void run_llama2c_tokenizer(std::string_view bytes) {
  static const std::string model = read(seed("llama2c/version0.bin"));
  write("tok270.bin", bytes);
  load(write("model.bin", model));
}

void run_config(std::string_view bytes) {
  static const std::string weights = read(golden("llama/model/model.safetensors"));
  static const fs::path model = write("weights.safetensors", weights);
  write("config.json", bytes);
  load(model);
}

void run_tokenizer(std::string_view bytes) {
  static const fs::path folder = [] {
    const fs::path made = scratch() / "tokenizer";
    fs::create_directories(made);
    return made;
  }();
  write("tokenizer/tokenizer.json", bytes);
  only_errors([&] {
    if (const auto tokenizer = load_tokenizer({folder.string(), nullptr, folder})) encode_some(*tokenizer);
  });
}

/// A SentencePiece model, whose map of characters is read with it.
void run_sentencepiece(std::string_view bytes) {
  static const fs::path folder = [] {
    const fs::path made = scratch() / "sentencepiece";
    fs::create_directories(made);
    return made;
  }();
  write("sentencepiece/tokenizer.model", bytes);
  only_errors([&] {
    if (const auto tokenizer = load_tokenizer({folder.string(), nullptr, folder})) encode_some(*tokenizer);
  });
}

/// Files of many texts and of pairs.
void run_texts(std::string_view bytes) {
  lines_of(bytes);
  only_errors([&] { jsonl_texts(bytes, "text", "texts.jsonl"); });
  only_errors([&] {
    for (const std::string& text : csv_texts(bytes, "text", "texts.csv")) VITRINE_CHECK(text.size() <= bytes.size());
  });
  only_errors([&] {
    const Csv csv = parse_csv(bytes, "texts.csv");
    VITRINE_CHECK(csv.rows.size() == csv.lines.size());
    for (const auto& row : csv.rows) VITRINE_CHECK(row.size() == csv.header.size());
  });
}

/// What is a grammar makes texts that it accepts.
void follow(const Grammar& grammar) {
  std::mt19937_64 random(3);
  const std::string text = random_text(grammar, 20, random);
  VITRINE_CHECK(check_text(grammar, text).accepted);
}

void run_grammar(std::string_view bytes) {
  only_errors([&] { follow(Grammar::parse(bytes)); });
}

void run_json_schema(std::string_view bytes) {
  only_errors([&] { follow(Grammar::parse(grammar_of_json_schema(parse_json(bytes, "schema")))); });
}

/// Seeds of a kind, "texts", "tokenizer", "sentencepiece", "grammar" or "json_schema", in fuzz/seeds/<kind>.
std::vector<std::string> seeds_of(const char* kind) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(VITRINE_TEST_DATA) / "fuzz" / "seeds" / kind)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const fs::path& path : paths) seeds.push_back(read(path));
  return seeds;
}

}  // namespace

std::span<const FuzzTarget> fuzz_targets() {
  static const std::array targets{
      FuzzTarget{"gguf", run_gguf, [] { return std::vector<std::string>{read(golden("llama/model.gguf")), read(golden("llama_tied/model.gguf"))}; }},
      FuzzTarget{"safetensors", run_safetensors, [] { return std::vector<std::string>{read(golden("llama/model/model.safetensors"))}; }},
      FuzzTarget{"pytorch", run_pytorch, [] { return std::vector<std::string>{read(pytorch("zip.bin")), read(pytorch("old.bin")), read(pytorch("protocol4.bin"))}; }},
      FuzzTarget{"llama2c", run_llama2c, [] { return seeds_of("llama2c"); }},
      FuzzTarget{"llama2c_tokenizer", run_llama2c_tokenizer, [] { return seeds_of("llama2c_tokenizer"); }},
      FuzzTarget{"config", run_config, [] {
                   return std::vector<std::string>{read(golden("llama/model/config.json")), read(golden("gpt2/model/config.json")), read(golden("bert/model/config.json"))};
                 }},
      FuzzTarget{"tokenizer", run_tokenizer, [] { return seeds_of("tokenizer"); }},
      FuzzTarget{"sentencepiece", run_sentencepiece, [] { return seeds_of("sentencepiece"); }},
      FuzzTarget{"grammar", run_grammar, [] { return seeds_of("grammar"); }},
      FuzzTarget{"json_schema", run_json_schema, [] { return seeds_of("json_schema"); }},
      FuzzTarget{"texts", run_texts, [] { return seeds_of("texts"); }}};
  return targets;
}

}  // namespace vitrine
