#include "core/model/export_tensors.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/model/distance_bias.h"
#include "core/model/tensor_rule.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {
namespace {

bool is_vector(const WeightKey& key) {
  if (key.bias) return true;
  switch (key.role) {
    case Role::embedding_norm: case Role::final_norm: case Role::attn_norm: case Role::mlp_norm: case Role::cross_norm: case Role::head_norm:
    case Role::attn_q_norm: case Role::attn_k_norm: case Role::attn_post_norm: case Role::mlp_post_norm: return true;
    default: return false;
  }
}

/// What is read off a sequence: a format may have no names for it, and the rest is still a model.
bool is_readout(Role role) {
  return role == Role::head || role == Role::head_transform || role == Role::head_norm || role == Role::readout_dense || role == Role::readout_labels;
}

/// Matrices of a GGUF that llama.cpp reads in F32 alone, or that are too small to save anything.
bool stays_f32(const WeightKey& key) {
  return is_vector(key) || key.role == Role::mlp_router || key.role == Role::position_embedding || key.role == Role::type_embedding ||
         key.role == Role::distance_bias;
}

/// Order of a file: what stands before the blocks, blocks, what stands behind; the encoder first.
auto place_of(const WeightKey& key) {
  const bool behind = key.block < 0 && (is_readout(key.role) || key.role == Role::final_norm);
  const int stack = key.stack == Stack::encoder ? 0 : 1;
  return std::tuple(key.block < 0 && !behind ? 0 : 1, key.block < 0 && !behind ? 0 : stack, behind ? 1 : 0, key.block, key.role, key.expert, key.bias);
}

struct NamedPart {
  WeightKey key;
  TensorPart part;
};

class Lister {
 public:
  Lister(const Model& model, const ExportTarget& target) : model_(model), target_(target), source_(architecture_of(*model.checkpoint)) {}

  TensorList list() {
    for (const WeightKey& key : ordered_keys()) take(key);
    for (const std::string& name : order_) list_.tensors.push_back(tensor_of(name, groups_.at(name)));
    if (target_.same_names) {
      carry_over();
      std::ranges::stable_sort(list_.tensors, {}, [&](const TensorToWrite& tensor) { return place_in_source(tensor); });
    }
    return std::move(list_);
  }

 private:
  std::vector<WeightKey> ordered_keys() const {
    std::vector<WeightKey> keys;
    for (const auto& [key, weight] : model_.weights.all()) keys.push_back(key);
    std::ranges::sort(keys, {}, place_of);
    return keys;
  }

  void take(const WeightKey& key) {
    const ModelSpec& spec = spec_of(model_, key);
    if (key.role == Role::position_embedding && spec.position_table != PositionTable::file) return;  // computed by who reads it
    const TensorRule rule = target_.architecture.tensor(target_.checkpoint, spec, key);
    if (is_tied_head(key) && !target_.needs_head && !(target_.same_names && target_.checkpoint.find(rule.name))) return;
    if (rule.name.empty()) {
      const std::string name = std::string(role_name(key.role)) + (key.bias ? " bias" : "");
      if (!is_readout(key.role)) throw Error({target_.checkpoint.path.string(), "a place for every weight", "none for " + name, ""});
      if (const NamedTensor* from = source_tensor(key); from && std::ranges::find(list_.left_out, from->name) == list_.left_out.end()) {
        list_.left_out.push_back(from->name);
      }
      return;
    }
    std::vector<NamedPart>& group = groups_[rule.name];
    if (group.empty()) order_.push_back(rule.name);
    add(group, {key, {rule, weight_of(key), key.bias}});
  }

  bool is_tied_head(const WeightKey& key) const {
    if (key.role != Role::head || key.bias) return false;
    const Weight* embedding = model_.weights.find({Role::token_embedding, -1, false, key.stack});
    return embedding && embedding->data == model_.weights.at(key).data;
  }

  /// Weights that share a place (one table for two stacks, one layer for several blocks) must be one.
  void add(std::vector<NamedPart>& group, NamedPart added) {
    for (const NamedPart& known : group) {
      const TensorRule &a = known.part.rule, &b = added.part.rule;
      if (a.first_row != b.first_row || a.rows != b.rows) continue;
      if (same_numbers(known.part.weight, added.part.weight)) return;
      if (known.key.role != added.key.role) {
        throw Error({target_.checkpoint.path.string(), "a place for every weight", "one, " + quoted(a.name) + ", for both " + std::string(role_name(known.key.role)) + " and " +
                     std::string(role_name(added.key.role)), "the target has no such shape of this family"});
      }
      throw Error({target_.checkpoint.path.string() + ": tensor " + quoted(a.name), "one weight for its place", "blocks " + std::to_string(known.key.block) + " and " +
                   std::to_string(added.key.block) + " with different numbers", "weights that share a tensor must be changed alike"});
    }
    group.push_back(std::move(added));
  }

  const NamedTensor* source_tensor(const WeightKey& key) const {
    return model_.checkpoint->find(source_.tensor(*model_.checkpoint, spec_of(model_, key), key).name);
  }

  static Weight scaled(const Weight& weight, float scale) {
    Tensor numbers = expand(weight);
    for (float& number : numbers.floats()) number *= scale;
    return make_weight(std::move(numbers));
  }

  /// As files have it: numbers a bucket, positions from the first one on.
  Weight weight_of(const WeightKey& key) const {
    const Weight& weight = model_.weights.at(key);
    const ModelSpec& spec = spec_of(model_, key);
    if (key.role == Role::distance_bias) {
      const NamedTensor* tensor = source_tensor(key);
      if (tensor && is_as_in_source(key, *tensor)) return tensor->weight;
      return make_weight(collapse_buckets(*spec.blocks[static_cast<std::size_t>(key.block)].attention.distance_buckets, weight));
    }
    if (key.role == Role::head && !key.bias && target_.needs_head && spec.head_scale != 1.0f) return scaled(weight, spec.head_scale);
    Weight kept = weight;
    if (key.role == Role::position_embedding && target_.gguf && !target_.same_names) {
      kept.rows -= spec.position_offset;
      kept.data = weight.row(spec.position_offset);
    }
    return kept;
  }

  /// Whether the model's weight is what its file makes of this tensor.
  bool is_as_in_source(const WeightKey& key, const NamedTensor& tensor) const {
    const ModelSpec& spec = spec_of(model_, key);
    const TensorRule rule = source_.tensor(*model_.checkpoint, spec, key);
    const Weight& weight = model_.weights.at(key);
    if (dtype_info(tensor.weight.type).expand == nullptr) return false;
    const std::byte *begin = tensor.weight.data, *end = begin + tensor.weight.bytes();
    if (!rule.plus_one && rule.period == 0 && rule.permuted_heads == 0 && weight.data >= begin && weight.data < end) return true;
    Weight whole = turned(rule, tensor.weight);
    if (rule.rows > 0 && (key.bias ? whole.cols : whole.rows) < rule.first_row + rule.rows) return false;
    Weight part = part_of(rule, whole, key.bias);
    if (key.role == Role::distance_bias) {
      const DistanceBuckets& buckets = *spec.blocks[static_cast<std::size_t>(key.block)].attention.distance_buckets;
      if (part.rows != buckets.count) return false;
      part = make_weight(expand_buckets(buckets, part));
    }
    if (part.type != weight.type && weight.type == DType::f32 && !dtype_info(part.type).quantized) part = converted(part, DType::f32);
    return same_numbers(part, weight);
  }

  /// The type that a part's numbers have: in the file where they had to be expanded to be turned or added to.
  DType type_of(const NamedPart& named) const {
    const DType type = named.part.weight.type;
    const NamedTensor* from = source_tensor(named.key);
    if (type != DType::f32 || !from || dtype_info(from->weight.type).quantized || dtype_info(from->weight.type).expand == nullptr) return type;
    return from->weight.type == DType::f64 ? DType::f32 : from->weight.type;
  }

  DType type_of(const std::vector<NamedPart>& group) const {
    const WeightKey& key = group.front().key;
    if (target_.gguf && stays_f32(key)) return DType::f32;
    if (target_.type) return *target_.type;
    const DType type = type_of(group.front());
    const bool alike = std::ranges::all_of(group, [&](const NamedPart& part) { return type_of(part) == type; });
    const TensorRule& rule = group.front().part.rule;
    const bool movable = !dtype_info(type).quantized || (target_.gguf && !rule.transposed && !rule.plus_one);
    return alike && movable ? type : DType::f32;
  }

  static std::vector<std::size_t> shape_of(const std::vector<NamedPart>& group, std::size_t rows) {
    const NamedPart& first = group.front();
    if (is_vector(first.key)) return {first.key.bias ? rows : first.part.weight.cols};
    const std::size_t cols = first.part.weight.cols;
    if (first.key.expert >= 0 && first.part.rule.fused_rows > 0) {
      int experts = 0;
      for (const NamedPart& part : group) experts = std::max(experts, part.key.expert + 1);
      return {static_cast<std::size_t>(experts), rows / static_cast<std::size_t>(experts), cols};
    }
    return first.part.rule.transposed ? std::vector{cols, rows} : std::vector{rows, cols};
  }

  TensorToWrite tensor_of(const std::string& name, const std::vector<NamedPart>& group) const {
    std::vector<TensorPart> parts;
    for (const NamedPart& named : group) parts.push_back(named.part);
    const std::size_t rows = rows_of(parts);
    TensorToWrite tensor{.name = name, .type = type_of(group), .shape = shape_of(group, rows), .make = {}};
    const NamedTensor* from = target_.same_names ? target_.checkpoint.find(name) : nullptr;
    if (from) {
      std::size_t count = 1, wanted = 1;
      for (const std::size_t extent : from->shape) count *= extent;
      for (const std::size_t extent : tensor.shape) wanted *= extent;
      if (count == wanted) tensor.shape = from->shape;
      const bool kept = std::ranges::all_of(group, [&](const NamedPart& part) { return is_as_in_source(part.key, *from); });
      const bool same_type = !target_.type || from->weight.type == *target_.type || (target_.gguf && stays_f32(group.front().key));
      if (kept && same_type) return as_it_is(*from);
    }
    const DType type = tensor.type;
    tensor.make = [parts = std::move(parts), rows, type] { return assemble(parts, rows, type); };
    return tensor;
  }

  static TensorToWrite as_it_is(const NamedTensor& tensor) {
    return {.name = tensor.name, .type = tensor.weight.type, .shape = tensor.shape, .make = [weight = tensor.weight] { return weight; }, .word = tensor.word};
  }

  /// What no weight was made of: buffers, heads of other tasks. What stood in removed blocks goes with them.
  void carry_over() {
    std::map<std::string, std::size_t> blocks;  // by what stands before a block's number: the number of blocks there
    for (const auto& [name, group] : groups_) {
      if (const auto [stem, number] = numbered(name); number) blocks[stem] = std::max(blocks[stem], *number + 1);
    }
    for (const NamedTensor& tensor : model_.checkpoint->tensors) {
      if (groups_.contains(tensor.name)) continue;
      const auto [stem, number] = numbered(tensor.name);
      if (number && blocks.contains(stem) && *number >= blocks.at(stem)) continue;
      list_.tensors.push_back(as_it_is(tensor));
    }
  }

  /// The file's own order; what is new stands behind.
  const std::byte* place_in_source(const TensorToWrite& tensor) const {
    const NamedTensor* from = model_.checkpoint->find(tensor.name);
    return from ? from->weight.data : reinterpret_cast<const std::byte*>(UINTPTR_MAX);
  }

  /// "model.layers." and 3 of "model.layers.3.mlp.up_proj.weight".
  static std::pair<std::string, std::optional<std::size_t>> numbered(const std::string& name) {
    for (std::size_t begin = 0; begin < name.size();) {
      const std::size_t end = std::min(name.find('.', begin), name.size());
      std::size_t number = 0;
      const auto [stop, code] = std::from_chars(name.data() + begin, name.data() + end, number);
      if (code == std::errc() && stop == name.data() + end) return {name.substr(0, begin), number};
      begin = end + 1;
    }
    return {name, std::nullopt};
  }

  const Model& model_;
  const ExportTarget& target_;
  const Architecture& source_;
  std::map<std::string, std::vector<NamedPart>> groups_;
  std::vector<std::string> order_;
  TensorList list_;
};

}  // namespace

TensorList list_tensors(const Model& model, const ExportTarget& target) { return Lister(model, target).list(); }

}  // namespace vitrine
