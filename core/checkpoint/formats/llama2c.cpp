#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/cursor.h"
#include "core/checkpoint/tensor_table.h"

// The layout of Karpathy's llama2.c (its export.py): seven numbers, then f32 weights in a fixed order, all blocks of a role
// together. Version 1 has a magic number and 256 bytes of header. The tokenizer lies beside, as tok<size>.bin or tokenizer.bin.

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint32_t magic = 0x616b3432;  // "ak42"

struct Header {
  std::uint32_t version = 0;
  std::uint64_t width = 0, mlp_width = 0, blocks = 0, heads = 0, kv_heads = 0, vocabulary = 0, context = 0;
  bool tied = true;
  std::uint64_t begin = 0;  // of the weights in the file

  std::uint64_t head_dim() const { return width / heads; }
  std::uint64_t kv_width() const { return kv_heads * head_dim(); }
};

/// The seven numbers; those of a file of another kind are out of these bounds.
bool read_sizes(Cursor& in, Header& header) {
  std::array<std::int32_t, 7> numbers{};
  for (std::int32_t& number : numbers) number = in.number<std::int32_t>("header");
  if (header.version == 0) header.tied = numbers[5] > 0;  // a negative vocabulary says that a head of its own follows
  const auto natural = [&](std::size_t i) { return static_cast<std::uint64_t>(std::abs(std::int64_t{numbers[i]})); };
  header.width = natural(0), header.mlp_width = natural(1), header.blocks = natural(2), header.heads = natural(3);
  header.kv_heads = natural(4), header.vocabulary = natural(5), header.context = natural(6);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == 0 || (numbers[i] < 0 && (i != 5 || header.version != 0)) || natural(i) > 1u << 20) return false;
  }
  return header.blocks <= 1024 && header.heads <= 4096 && header.width % header.heads == 0 && header.head_dim() % 2 == 0 && header.heads % header.kv_heads == 0;
}

bool recognises(const fs::path& path) {
  std::error_code ignored;
  if (path.extension() != ".bin" || !fs::is_regular_file(path, ignored)) return false;
  std::array<std::byte, 28> front{};
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(front.data()), front.size());
  if (file.gcount() < 28) return false;
  std::uint32_t first = 0;
  std::memcpy(&first, front.data(), sizeof first);
  Header header;
  Cursor in(path.string(), front);
  return first == magic || read_sizes(in, header);
}

Header read_header(const fs::path& path, std::span<const std::byte> bytes) {
  Cursor in(path.string(), bytes);
  Header header;
  if (in.number<std::uint32_t>("magic") == magic) {
    header.version = in.number<std::uint32_t>("version");
    if (header.version != 1) {
      throw Error({path.string() + ": version", "0 or 1, whose weights are f32", std::to_string(header.version), "export the model again with --version 1"});
    }
  } else {
    in = Cursor(path.string(), bytes);
  }
  if (!read_sizes(in, header)) in.fail("header", "seven sizes that make a model", "others");
  if (header.version == 1) header.tied = in.number<std::uint8_t>("header") != 0;
  header.begin = header.version == 1 ? 256 : in.at();
  return header;
}

/// A role's tensors lie one block after the other.
struct Run {
  std::string_view name;  // Hugging Face's, '#' for the block
  std::uint64_t rows, cols;
  std::uint64_t blocks;
};

std::vector<Run> runs_of(const Header& h) {
  const std::uint64_t w = h.width, n = h.blocks, kv = h.kv_width();
  const Run embedding{"model.embed_tokens", h.vocabulary, w, 1}, attn_norm{"model.layers.#.input_layernorm", 1, w, n},
      mlp_norm{"model.layers.#.post_attention_layernorm", 1, w, n}, norm{"model.norm", 1, w, 1};
  const std::vector<Run> attention{{"model.layers.#.self_attn.q_proj", w, w, n}, {"model.layers.#.self_attn.k_proj", kv, w, n},
                                   {"model.layers.#.self_attn.v_proj", kv, w, n}, {"model.layers.#.self_attn.o_proj", w, w, n}};
  const std::vector<Run> mlp{{"model.layers.#.mlp.gate_proj", h.mlp_width, w, n}, {"model.layers.#.mlp.down_proj", w, h.mlp_width, n},
                             {"model.layers.#.mlp.up_proj", h.mlp_width, w, n}};
  std::vector<Run> runs;
  const auto add = [&](const std::vector<Run>& more) { runs.insert(runs.end(), more.begin(), more.end()); };
  if (h.version == 0) {
    add({embedding, attn_norm});
    add(attention);
    add({mlp_norm});
    add(mlp);
    add({norm, {"", 2, h.context * h.head_dim() / 2, 1}});  // cosines and sines of the positions, which are computed here
  } else {
    add({attn_norm, mlp_norm, norm, embedding});
    add(attention);
    add(mlp);
  }
  if (!h.tied) add({{"lm_head", h.vocabulary, w, 1}});
  return runs;
}

std::vector<DeclaredTensor> declare(const fs::path& path, const Header& header, std::uint64_t file_bytes) {
  std::vector<DeclaredTensor> tensors;
  std::uint64_t at = 0;
  for (const Run& run : runs_of(header)) {
    for (std::uint64_t block = 0; block < run.blocks; ++block) {
      DeclaredTensor tensor{std::string(run.name) + ".weight", DType::f32, run.rows == 1 ? std::vector{run.cols} : std::vector{run.rows, run.cols}, at};
      if (const std::size_t place = tensor.name.find('#'); place != std::string::npos) tensor.name.replace(place, 1, std::to_string(block));
      if (!run.name.empty()) tensors.push_back(std::move(tensor));
      at += run.rows * run.cols * sizeof(float);
    }
  }
  if (header.begin + at != file_bytes) {
    throw Error({path.string(), std::to_string(header.begin + at) + " bytes, as its header says", std::to_string(file_bytes),
                 file_bytes < header.begin + at ? "the file is cut short; fetch it again" : "it is no model in llama2.c's layout"});
  }
  return tensors;
}

/// llama2.c rotates neighbouring rows of a head; Hugging Face's files hold first those that are rotated first. A copy.
Weight in_halves(const Weight& source, std::size_t heads) {
  const std::size_t head_rows = source.rows / heads;
  Tensor copy(source.type, {source.rows, source.cols});
  for (std::size_t row = 0; row < source.rows; ++row) {
    const std::size_t inside = row % head_rows, target = row - inside + inside % 2 * (head_rows / 2) + inside / 2;
    std::memcpy(copy.bytes().data() + target * source.stride_bytes(), source.row(row), source.stride_bytes());
  }
  return make_weight(std::move(copy));
}

Json config_of(const Header& header) {
  Json config = Json::object();
  config.set("model_type", "llama").set("hidden_size", header.width).set("intermediate_size", header.mlp_width);
  config.set("num_hidden_layers", header.blocks).set("num_attention_heads", header.heads).set("num_key_value_heads", header.kv_heads);
  config.set("max_position_embeddings", header.context).set("vocab_size", header.vocabulary);
  // Constants of its program.
  return config.set("rms_norm_eps", 1e-5).set("rope_theta", 10000.0).set("hidden_act", "silu");
}

/// GGUF's keys of a SentencePiece vocabulary, from the length of the longest token, then score, length and bytes of each.
void read_tokenizer(const fs::path& path, std::uint64_t vocabulary, Json& metadata) {
  const MappedFile file(path);
  Cursor in(path.string(), file.bytes());
  in.number<std::uint32_t>("longest token");
  Json tokens = Json::array(), scores = Json::array(), kinds = Json::array();
  std::uint64_t count = 0;
  for (; in.left() > 0; ++count) {
    const std::string field = "token " + std::to_string(count);
    if (count == vocabulary) in.fail(field, std::to_string(vocabulary) + " tokens, as the model has", "more");
    const float score = in.number<float>(field);
    std::string token = in.text(in.number<std::uint32_t>(field), field);
    if (!std::isfinite(score)) in.fail(field, "a finite score", "another");
    // The program knows unknown, beginning and end by their places, and 256 bytes behind them.
    const std::int64_t kind = count == 0 ? 2 : count <= 2 ? 3 : count < 259 ? 6 : 1;
    if (kind == 3) std::erase(token, '\n');
    if (kind == 1) {
      for (std::size_t at = 0; (at = token.find(' ', at)) != std::string::npos;) token.replace(at, 1, "\u2581");
    }
    tokens.push(std::move(token));
    scores.push(static_cast<double>(score));
    kinds.push(kind);
  }
  if (count != vocabulary) in.fail("tokens", std::to_string(vocabulary) + ", as the model has", std::to_string(count));
  metadata.set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.tokens", std::move(tokens)).set("tokenizer.ggml.scores", std::move(scores));
  metadata.set("tokenizer.ggml.token_type", std::move(kinds)).set("tokenizer.ggml.unknown_token_id", 0);
  metadata.set("tokenizer.ggml.bos_token_id", 1).set("tokenizer.ggml.eos_token_id", 2);
}

Checkpoint open(const fs::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const Header header = read_header(path, file->bytes());
  Checkpoint checkpoint{.format = "llama2c", .path = path, .metadata = config_of(header), .tensors = {}, .files = {path}};
  const std::vector<DeclaredTensor> declared = declare(path, header, file->bytes().size());
  checkpoint.tensors = tensor_table(path.string(), declared, file, header.begin, 4);
  for (NamedTensor& tensor : checkpoint.tensors) {
    if (tensor.name.ends_with("q_proj.weight")) tensor.weight = in_halves(tensor.weight, header.heads);
    if (tensor.name.ends_with("k_proj.weight")) tensor.weight = in_halves(tensor.weight, header.kv_heads);
  }
  std::error_code ignored;
  for (const std::string& name : {"tok" + std::to_string(header.vocabulary) + ".bin", std::string("tokenizer.bin")}) {
    const fs::path tokenizer = path.parent_path() / name;
    if (!fs::exists(tokenizer, ignored)) continue;
    read_tokenizer(tokenizer, header.vocabulary, checkpoint.metadata);
    break;
  }
  return checkpoint;
}

}  // namespace

const CheckpointFormat& checkpoint_format_llama2c() {
  static const CheckpointFormat format{"llama2c", "llama2.c's .bin with f32 weights, and the tokenizer beside it", recognises, open};
  return format;
}

}  // namespace vitrine
