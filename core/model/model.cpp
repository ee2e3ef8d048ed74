#include "core/model/model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/model/architecture.h"
#include "core/model/distance_bias.h"
#include "core/model/tensor_rule.h"
#include "core/model/tokenizer_of.h"
#include "core/model/unused_tensors.h"

namespace vitrine {
namespace {

std::string shape_text(std::size_t rows, std::size_t cols) {
  return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

}  // namespace

const Architecture& architecture_of(const Checkpoint& checkpoint) {
  std::vector<std::string_view> known;
  for (const Architecture* architecture : all_architectures()) {
    if (architecture->recognises(checkpoint)) return *architecture;
    known.push_back(architecture->name);
  }
  const bool gguf = checkpoint.format == "gguf";
  const std::string_view key = gguf ? "general.architecture" : "model_type";
  const Json& said = checkpoint.metadata[key];
  const std::string where = checkpoint.path.string() + ": " + (gguf ? "" : "config.json ") + std::string(key);
  if (!said.is_string()) throw Error({where, "one of " + joined(known), "nothing", gguf ? "" : "a folder of Hugging Face has config.json beside the weights"});
  throw Error({where, "one of " + joined(known), quoted(said.string()), "the nearest is " + std::string(nearest_word(said.string(), known)) + "; see `vitrine list architectures`"});
}

namespace {

class Loader {
 public:
  /// @param used  gets the names of the tensors that weights are made of
  Loader(const Architecture& architecture, Model& model, const ModelSpec& spec, TensorNames& used)
      : checkpoint_(*model.checkpoint), architecture_(architecture), spec_(spec), store_(model.weights), used_(used) {}

  /// Finds, checks and packs a weight of [rows, cols] and, where the file has it, its bias.
  void load(Role role, int block, std::size_t rows, std::size_t cols) {
    load_one({role, block, false, spec_.stack}, rows, cols);
    load_one({role, block, true, spec_.stack}, 1, rows);
  }
  /// One of a block's experts.
  void load_expert(Role role, int block, int expert, std::size_t rows, std::size_t cols) {
    load_one({role, block, false, spec_.stack, expert}, rows, cols);
    load_one({role, block, true, spec_.stack, expert}, 1, rows);
  }
  void load_norm(Role role, int block, std::size_t width) {
    load_one({role, block, false, spec_.stack}, 1, width);
    load_one({role, block, true, spec_.stack}, 1, width);
  }
  void load_norm(Role role, int block) { load_norm(role, block, spec_.width); }
  /// Numbers that are looked at as f32, whatever the file has.
  void load_numbers(Role role, int block, std::size_t rows, std::size_t cols) {
    const WeightKey key{role, block, false, spec_.stack};
    load_one(key, rows, cols);
    store_.put(key, make_weight(expand(store_.at(key))));
  }
  /// A table by buckets, kept by distances.
  void load_distance_bias(int block) {
    const AttentionSpec& attention = spec_.blocks[static_cast<std::size_t>(block)].attention;
    const DistanceBuckets& buckets = *attention.distance_buckets;
    const WeightKey key{Role::distance_bias, block, false, spec_.stack};
    if (!makes_sense(buckets)) {
      throw Error({checkpoint_.path.string() + ": buckets of distances", "at least 4, and a furthest distance beyond half of those of a side, up to " +
                   std::to_string(furthest_bucketed), std::to_string(buckets.count) + " and " + std::to_string(buckets.furthest), ""});
    }
    load_one(key, buckets.count, attention.heads);
    store_.put(key, make_weight(expand_buckets(buckets, store_.at(key))));
  }

 private:
  void load_one(const WeightKey& key, std::size_t rows, std::size_t cols) {
    const TensorRule rule = architecture_.tensor(checkpoint_, spec_, key);
    if (rule.name.empty()) return;
    const NamedTensor* tensor = checkpoint_.find(rule.name);
    const std::string where = checkpoint_.path.string() + ": tensor " + rule.name;
    if (!tensor) {
      if (rule.optional || (key.bias && !rule.needed_bias)) return;
      throw Error({where, shape_text(rows, cols), "nothing", "the file is no complete model"});
    }
    used_.insert(rule.name);
    if (dtype_info(tensor->weight.type).expand == nullptr) {
      throw Error({where, "a type of weights", std::string(dtype_info(tensor->weight.type).name), ""});
    }
    // No product takes double: rounded once.
    Weight weight = tensor->weight.type == DType::f64 ? make_weight(expand(tensor->weight)) : tensor->weight;
    if (key.bias && (rule.rows > 0 || rule.permuted_heads > 0) && dtype_info(weight.type).block_size > 1) {
      throw Error({where, "a bias in F32, F16 or BF16", std::string(dtype_info(weight.type).name), ""});
    }
    weight = once_turned(rule, weight);
    check_shape(where, rule, key.bias, weight, {rule.rows == 0 ? rows : key.bias ? 1 : weight.rows, cols});
    weight = part_of(rule, weight, key.bias);
    if (weight.rows != rows || weight.cols != cols) {
      throw Error({where, shape_text(rows, cols), shape_text(weight.rows, weight.cols), ""});
    }
    store_.put(key, std::move(weight));
  }

  struct Shape {
    std::size_t rows, cols;
  };
  /// Before anything is cut: the fused rows must be there, columns must match.
  static void check_shape(const std::string& where, const TensorRule& rule, bool bias, const Weight& weight, Shape model) {
    const std::size_t rows = weight.rows, cols = weight.cols;
    std::size_t last = rule.first_row + rule.rows;
    if (rule.period > 0) last = rule.first_row + (rule.rows / rule.run - 1) * rule.period + rule.run;
    if (rule.fused_rows > 0) (bias ? model.cols : model.rows) = rule.fused_rows;
    const bool part = rule.rows > 0 && rule.fused_rows == 0;
    const bool fits = !part ? rows == model.rows && cols == model.cols : bias ? rows == 1 && cols >= last : rows >= last && cols == model.cols;
    if (!fits || (bias ? cols : rows) < last) throw Error({where, shape_text(model.rows, model.cols), shape_text(rows, cols), ""});
  }

  Weight once_turned(const TensorRule& rule, const Weight& weight) {
    if (!rule.transposed) return turned(rule, weight);
    const auto found = turned_.find(rule.name);
    return found != turned_.end() ? found->second : turned_.emplace(rule.name, turned(rule, weight)).first->second;
  }

  const Checkpoint& checkpoint_;
  const Architecture& architecture_;
  const ModelSpec& spec_;
  WeightStore& store_;
  TensorNames& used_;
  std::map<std::string, Weight> turned_;  // a fused matrix is turned once for q, k and v
};

void load_cross(Loader& loader, const ModelSpec& spec, int index) {
  const AttentionSpec& cross = *spec.blocks[static_cast<std::size_t>(index)].cross;
  const std::size_t q_width = cross.heads * cross.head_dim, kv_width = cross.kv_heads * cross.head_dim;
  const std::size_t source_width = spec.encoder.front().width;
  loader.load_norm(Role::cross_norm, index);
  loader.load(Role::cross_q, index, q_width, spec.width);
  loader.load(Role::cross_k, index, kv_width, source_width);
  loader.load(Role::cross_v, index, kv_width, source_width);
  loader.load(Role::cross_out, index, spec.width, q_width);
}

struct RelativePlace {
  std::size_t width;
  int block;
};
void load_relative(Loader& loader, const AttentionSpec& attention, const RelativePlace& at) {
  loader.load(Role::attn_distance, at.block, attention.heads * attention.head_dim, at.width);
  for (const Role role : {Role::key_bias, Role::content_bias, Role::segment_bias}) loader.load_numbers(role, at.block, attention.heads, attention.head_dim);
  loader.load_numbers(Role::segment_embedding, at.block, 2 * attention.heads, attention.head_dim);
}

void load_experts(Loader& loader, const ModelSpec& spec, int index) {
  const MlpSpec& mlp = spec.blocks[static_cast<std::size_t>(index)].mlp;
  loader.load(Role::mlp_router, index, mlp.experts, spec.width);
  for (int expert = 0; expert < static_cast<int>(mlp.experts); ++expert) {
    if (mlp.gated) loader.load_expert(Role::mlp_gate, index, expert, mlp.width, spec.width);
    loader.load_expert(Role::mlp_up, index, expert, mlp.width, spec.width);
    loader.load_expert(Role::mlp_down, index, expert, spec.width, mlp.width);
  }
}

void load_block(Loader& loader, const ModelSpec& spec, int index) {
  const BlockSpec& block = spec.blocks[static_cast<std::size_t>(index)];
  const AttentionSpec& attention = block.attention;
  const std::size_t q_width = attention.heads * attention.head_dim, kv_width = attention.kv_heads * attention.head_dim;
  loader.load_norm(Role::attn_norm, index);
  loader.load(Role::attn_q, index, q_width, spec.width);
  loader.load(Role::attn_k, index, kv_width, spec.width);
  loader.load(Role::attn_v, index, kv_width, spec.width);
  loader.load(Role::attn_out, index, spec.width, q_width);
  if (attention.qk_norm) {
    loader.load_norm(Role::attn_q_norm, index, attention.head_dim);
    loader.load_norm(Role::attn_k_norm, index, attention.head_dim);
  }
  if (attention.relative) load_relative(loader, attention, {spec.width, index});
  if (block.placement == NormPlacement::sandwich) {
    loader.load_norm(Role::attn_post_norm, index);
    loader.load_norm(Role::mlp_post_norm, index);
  }
  if (attention.distance_buckets) loader.load_distance_bias(index);
  if (block.cross) load_cross(loader, spec, index);
  if (block.placement != NormPlacement::parallel_shared) loader.load_norm(Role::mlp_norm, index);
  if (block.mlp.experts > 0) return load_experts(loader, spec, index);
  if (block.mlp.gated) loader.load(Role::mlp_gate, index, block.mlp.width, spec.width);
  loader.load(Role::mlp_up, index, block.mlp.width, spec.width);
  loader.load(Role::mlp_down, index, spec.width, block.mlp.width);
}

/// The embedding's rows are the vocabulary: files disagree with their own metadata more often than with themselves.
void read_vocabulary(const Architecture& architecture, const Model& model, ModelSpec& spec) {
  const TensorRule rule = architecture.tensor(*model.checkpoint, spec, {Role::token_embedding, -1, false, spec.stack});
  const NamedTensor* table = model.checkpoint->find(rule.name);
  if (!table) {
    throw Error({model.path.string() + ": tensor " + rule.name, "the token embedding", "nothing",
                 "the file is no complete model"});
  }
  spec.vocabulary = table->weight.rows;
}

/// Metadata with too few blocks would drop the last ones without a word.
void refuse_more_blocks(const Architecture& architecture, const Model& model, const ModelSpec& spec) {
  const int blocks = static_cast<int>(spec.blocks.size());
  const TensorRule rule = architecture.tensor(*model.checkpoint, spec, {Role::attn_out, blocks, false, spec.stack});
  if (!model.checkpoint->find(rule.name)) return;
  throw Error({model.path.string() + ": number of blocks", "as many as the weights have, more than " + std::to_string(blocks), std::to_string(blocks),
               "tensor " + rule.name + " would not be used"});
}

/// A table of sines and cosines, which files leave out.
Weight sine_table(const ModelSpec& spec, std::size_t rows) {
  const std::size_t width = spec.token_width(), half = width / 2;
  const bool to_end = spec.position_table == PositionTable::sines_to_end;
  const std::size_t sines = to_end ? half : width - half;
  // The one is made in f32 by who published it, the other in double.
  const float decay = to_end ? -static_cast<float>(std::log(10000.0) / static_cast<double>(half - 1)) : 0.0f;
  const auto angle_of = [&](std::size_t row, std::size_t i) {
    if (to_end) return static_cast<double>(static_cast<float>(row) * static_cast<float>(std::exp(static_cast<double>(static_cast<float>(i) * decay))));
    return static_cast<double>(row) / std::pow(10000.0, 2.0 * static_cast<double>(i) / static_cast<double>(width));
  };
  Tensor table(DType::f32, {rows, width});
  std::ranges::fill(table.floats(), 0.0f);
  for (std::size_t row = 0; row < rows; ++row) {
    if (spec.uncounted_token && row + 1 == spec.position_offset) continue;
    for (std::size_t i = 0; i < sines; ++i) {
      const double angle = angle_of(row, i);
      table.floats()[row * width + i] = static_cast<float>(std::sin(angle));
      if (i < half) table.floats()[row * width + sines + i] = static_cast<float>(std::cos(angle));
    }
  }
  return make_weight(std::move(table));
}

void load_head(Loader& loader, Model& model) {
  const ModelSpec& spec = model.spec;
  if (spec.head_transform) {
    loader.load(Role::head_transform, -1, spec.head_transform->width, spec.width);
    if (spec.head_transform->norm_epsilon) loader.load_norm(Role::head_norm, -1, spec.head_transform->width);
  }
  loader.load(Role::head, -1, spec.vocabulary, spec.head_width());
  const WeightKey head{Role::head, -1, false, spec.stack};
  if (model.weights.find(head)) return;
  const Json& tied = model.checkpoint->metadata["tie_word_embeddings"];
  if (tied.is_bool() && !tied.boolean()) {
    const bool labels = model.checkpoint->find("score.weight") != nullptr;
    throw Error({model.path.string() + ": head", "a tensor of its own (tie_word_embeddings is false)", labels ? "score.weight, a decoder's classification head" : "nothing",
                 labels ? "labels of decoders are not supported" : "the file is no complete model"});
  }
  const Weight& embedding = model.weights.at({Role::token_embedding, -1, false, spec.stack});
  if (embedding.cols != spec.head_width()) {
    throw Error({model.path.string() + ": head", "a matrix of its own, for rows of " + std::to_string(spec.head_width()), "none", "the file is no complete model"});
  }
  model.weights.put(head, embedding);
}

/// @param spec  model.spec or its encoder
void load_stack(const Architecture& architecture, Model& model, ModelSpec& spec, TensorNames& used) {
  refuse_more_blocks(architecture, model, spec);
  read_vocabulary(architecture, model, spec);
  Loader loader(architecture, model, spec, used);
  const std::size_t token_width = spec.token_width(), position_width = spec.projection_first ? spec.width : token_width;
  loader.load(Role::token_embedding, -1, spec.vocabulary, token_width);
  if (spec.learned_positions && spec.position_table == PositionTable::file) {
    loader.load(Role::position_embedding, -1, spec.context + spec.position_offset, position_width);
  } else if (spec.learned_positions) {
    model.weights.put({Role::position_embedding, -1, false, spec.stack}, sine_table(spec, spec.context + spec.position_offset));
  }
  if (spec.query_stream) loader.load_numbers(Role::query_embedding, -1, 1, spec.width);
  if (spec.token_types > 0) loader.load(Role::type_embedding, -1, spec.token_types, token_width);
  if (spec.embedding_norm) loader.load_norm(Role::embedding_norm, -1, token_width);
  if (spec.embedding_width > 0) loader.load(Role::embedding_projection, -1, spec.width, token_width);
  for (int block = 0; block < static_cast<int>(spec.blocks.size()); ++block) load_block(loader, spec, block);
  if (spec.final_norm) loader.load_norm(Role::final_norm, -1);
  if (spec.readout && spec.readout->dense) loader.load(Role::readout_dense, -1, spec.width, spec.width);
  if (spec.readout && spec.readout->labels > 0) loader.load(Role::readout_labels, -1, spec.readout->labels, spec.width);
}

void load_weights(const Architecture& architecture, Model& model) {
  TensorNames used;
  for (ModelSpec& encoder : model.spec.encoder) load_stack(architecture, model, encoder, used);
  load_stack(architecture, model, model.spec, used);
  if (model.spec.has_head) {
    Loader loader(architecture, model, model.spec, used);
    load_head(loader, model);
  }
  model.unused = unused_tensors(*model.checkpoint, used);
  for (const std::string& name : used) {
    const Weight& weight = model.checkpoint->find(name)->weight;
    model.parameters += weight.rows * weight.cols;
  }
}

/// A token behind the embedding's rows would have no numbers. Special ones may stand there: Gemma 3's tokenizer knows an image
/// token that its text models have no row for; a text that holds it is refused where the ids are looked up.
void check_tokenizer(const Tokenizer& tokenizer, const Model& model) {
  const std::size_t rows = model.spec.vocabulary, tokens = tokenizer.vocabulary_size();
  for (std::size_t id = rows; id < tokens; ++id) {
    const auto token = static_cast<TokenId>(id);
    if (tokenizer.is_special(token) || tokenizer.piece(token).empty()) continue;
    throw Error({model.path.string() + ": tokenizer", "at most " + std::to_string(rows) + " tokens, the rows of the token embedding",
                 std::to_string(tokens) + ", token " + std::to_string(id) + " is " + quoted(tokenizer.piece(token)), "tokenizer and weights are of different models"});
  }
}

}  // namespace

const ModelSpec& spec_of(const Model& model, const WeightKey& key) {
  return key.stack == Stack::encoder && !model.spec.encoder.empty() ? model.spec.encoder.front() : model.spec;
}

Model load_model(const std::filesystem::path& path) {
  auto checkpoint = std::make_shared<const Checkpoint>(open_checkpoint(path));
  const Architecture& architecture = architecture_of(*checkpoint);
  Model model;
  model.spec = architecture.describe(*checkpoint);
  model.path = checkpoint->path;
  model.format = checkpoint->format;
  model.checkpoint = checkpoint;
  load_weights(architecture, model);
  model.tokenizer = tokenizer_of(*checkpoint);
  if (model.tokenizer) check_tokenizer(*model.tokenizer, model);
  return model;
}

}  // namespace vitrine
