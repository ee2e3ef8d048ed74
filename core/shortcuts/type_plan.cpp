#include "core/shortcuts/type_plan.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/model/architecture.h"
#include "core/shortcuts/shortcut.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {
namespace {

/// A name, ggml's number of the file's type, and the type that a tensor has where no rule says otherwise.
struct Mix {
  std::string_view name;
  std::uint32_t file_type;
  DType usual;
};

constexpr std::array<Mix, 36> mixes{{
    {"F32", 0, DType::f32},          {"F16", 1, DType::f16},          {"BF16", 32, DType::bf16},       {"Q8_0", 7, DType::q8_0},        {"Q4_0", 2, DType::q4_0},
    {"Q4_1", 3, DType::q4_1},        {"Q5_0", 8, DType::q5_0},        {"Q5_1", 9, DType::q5_1},        {"Q2_K", 10, DType::q2_k},       {"Q2_K_S", 21, DType::q2_k},
    {"Q3_K", 11, DType::q3_k},       {"Q3_K_S", 11, DType::q3_k},     {"Q3_K_M", 12, DType::q3_k},     {"Q3_K_L", 13, DType::q3_k},     {"Q4_K", 14, DType::q4_k},
    {"Q4_K_S", 14, DType::q4_k},     {"Q4_K_M", 15, DType::q4_k},     {"Q5_K", 16, DType::q5_k},       {"Q5_K_S", 16, DType::q5_k},     {"Q5_K_M", 17, DType::q5_k},
    {"Q6_K", 18, DType::q6_k},       {"IQ4_NL", 25, DType::iq4_nl},   {"IQ4_XS", 30, DType::iq4_xs},   {"IQ3_S", 26, DType::iq3_s},     {"IQ3_M", 27, DType::iq3_s},
    {"IQ3_XXS", 23, DType::iq3_xxs}, {"IQ2_XXS", 19, DType::iq2_xxs}, {"IQ2_XS", 20, DType::iq2_xs},   {"IQ2_S", 28, DType::iq2_xs},    {"IQ2_M", 29, DType::iq2_s},
    {"IQ1_S", 24, DType::iq1_s},     {"IQ1_M", 31, DType::iq1_m},     {"TQ1_0", 36, DType::tq1_0},     {"TQ2_0", 37, DType::tq2_0},     {"MXFP4", 38, DType::mxfp4},
    {"IQ3_XS", 22, DType::iq3_s},
}};

const Mix& mix_named(std::string_view name) {
  const auto same = [name](const Mix& mix) {
    return std::ranges::equal(mix.name, name, [](unsigned char a, unsigned char b) { return a == std::toupper(b); });
  };
  if (const auto found = std::ranges::find_if(mixes, same); found != mixes.end()) return *found;
  const std::vector<std::string_view> names = type_plan_names();
  throw Error({"type", joined(names), quoted(name), "the nearest is " + std::string(nearest_word(name, names))}, Fault::usage);
}

/// What the rules look at.
struct Place {
  std::string_view mix;
  Role role;
  std::size_t block, blocks;  ///< index and number
  bool groups;                ///< four heads or more share a key
  bool experts;
  bool calibrated;

  bool is(std::initializer_list<std::string_view> names) const { return std::ranges::find(names, mix) != names.end(); }
  bool early(std::size_t parts) const { return block < blocks / parts; }
  /// The first and the last eighth, and every third between.
  bool important() const { return early(8) || block >= 7 * blocks / 8 || (block - blocks / 8) % 3 == 2; }
};

/// Mixes of about two bits and less have rules of their own.
DType low_bit_type(const Place& at, DType usual) {
  const bool two = at.is({"IQ2_S", "IQ2_M"});
  if (at.role == Role::attn_v) return at.groups || at.experts ? DType::q4_k : two ? DType::iq3_s : DType::q2_k;
  if (at.role == Role::mlp_down && at.early(8)) return two ? DType::iq3_s : DType::q2_k;
  if (at.role == Role::attn_out) return at.experts ? DType::q5_k : at.is({"IQ1_S", "IQ1_M"}) ? DType::iq2_xxs : two ? DType::iq3_s : usual;
  return usual;
}

DType value_type(const Place& at, DType usual) {
  if (at.experts) return DType::q8_0;
  if (at.is({"Q2_K"})) return at.groups ? DType::q4_k : DType::q3_k;
  if (at.is({"Q2_K_S", "IQ3_XS", "IQ3_S"})) return at.groups ? DType::q4_k : usual;
  if (at.is({"IQ3_XXS"})) return at.groups ? DType::q4_k : at.calibrated ? usual : DType::iq3_s;
  if (at.is({"IQ3_M"})) return DType::q4_k;
  if (at.is({"Q3_K_M"})) return at.block < 2 ? DType::q5_k : DType::q4_k;
  if (at.is({"Q3_K_L"})) return DType::q5_k;
  if (at.is({"IQ4_NL", "IQ4_XS"})) return at.groups ? DType::q5_k : usual;
  if (at.is({"Q4_K_M", "Q5_K_M"})) return at.important() ? DType::q6_k : usual;
  if (at.is({"Q4_K_S"})) return at.block < 4 ? DType::q5_k : usual;
  return usual;
}

DType down_type(const Place& at, DType usual) {
  if (at.is({"Q2_K"})) return DType::q3_k;
  if (at.is({"Q2_K_S"})) return at.early(8) ? DType::q4_k : usual;
  if (at.is({"IQ3_XXS"})) return at.calibrated ? usual : at.early(8) ? DType::q4_k : DType::q3_k;
  if (at.is({"Q3_K_M"})) return at.early(16) ? DType::q5_k : DType::q4_k;
  if (at.is({"IQ3_M"})) return at.early(8) || (at.experts && at.important()) ? DType::q4_k : usual;
  if (at.is({"Q3_K_L"})) return DType::q5_k;
  if (at.is({"Q4_K_M", "Q5_K_M"})) return at.important() ? DType::q6_k : usual;
  if (at.is({"IQ4_NL", "IQ4_XS"})) return at.early(8) && !at.calibrated ? DType::q5_k : usual;
  if (at.is({"Q4_K_S"})) return at.early(8) ? DType::q5_k : usual;
  // Weights of the first blocks come out much too small under an importance matrix without a minimum.
  if (at.calibrated && at.early(8) && at.is({"Q4_0", "Q5_0"})) return at.is({"Q4_0"}) ? DType::q4_1 : DType::q5_1;
  return usual;
}

DType out_type(const Place& at, DType usual) {
  if (at.experts) return at.is({"Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M", "IQ4_XS"}) ? DType::q5_k : usual;
  if (at.is({"Q2_K"})) return DType::q3_k;
  if (at.is({"IQ3_XXS"})) return DType::iq3_s;
  if (at.is({"Q3_K_M", "IQ3_M"})) return DType::q4_k;
  return at.is({"Q3_K_L"}) ? DType::q5_k : usual;
}

/// Of matrices that a file keeps in one tensor.
DType fused_type(const Place& at, DType usual) {
  if (at.is({"Q3_K_M", "Q3_K_L", "IQ3_M"})) return DType::q4_k;
  return at.is({"Q4_K_M"}) ? DType::q5_k : at.is({"Q5_K_M"}) ? DType::q6_k : usual;
}

bool is_low_bit(const Place& at) { return at.is({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"}); }

DType block_type(const Place& at, DType usual) {
  if (is_low_bit(at)) return low_bit_type(at, usual);
  switch (at.role) {
    case Role::attn_v:
    case Role::cross_v: return value_type(at, usual);
    case Role::attn_q:
    case Role::cross_q: return at.is({"IQ3_XS"}) ? DType::iq3_xxs : at.is({"IQ3_XXS"}) ? DType::iq2_s : usual;
    case Role::attn_k:
    case Role::cross_k: return at.experts ? DType::q8_0 : at.is({"IQ3_XS"}) ? DType::iq3_xxs : at.is({"IQ3_XXS"}) ? DType::iq2_s : usual;
    case Role::attn_out:
    case Role::cross_out: return out_type(at, usual);
    case Role::mlp_down: return down_type(at, usual);
    case Role::mlp_gate:
    case Role::mlp_up: return at.is({"IQ3_XS"}) && !at.early(8) && at.block < 7 * at.blocks / 8 ? DType::iq3_xxs : usual;
    default: return usual;
  }
}

DType head_type(const Place& at, DType usual) {
  if (usual == DType::q8_0 || !dtype_info(usual).quantized) return usual;
  return is_low_bit(at) || at.is({"IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M"}) ? DType::q5_k : DType::q6_k;
}

DType table_type(const Place& at, DType usual) {
  if (at.is({"IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"})) return DType::q2_k;
  if (at.is({"IQ2_S", "IQ2_M", "IQ3_XXS"})) return DType::iq3_s;
  return at.is({"TQ1_0", "TQ2_0"}) ? DType::q4_k : usual;
}

/// For rows that the type's blocks do not divide.
DType fallback(DType type, std::size_t cols) {
  DType next = type;
  switch (type) {
    case DType::q4_k: next = DType::q5_0; break;
    case DType::q5_k: next = DType::q5_1; break;
    case DType::q6_k: next = DType::q8_0; break;
    case DType::q2_k:
    case DType::q3_k:
    case DType::tq1_0:
    case DType::tq2_0: next = DType::q4_0; break;
    default: next = DType::iq4_nl; break;
  }
  return cols % dtype_info(next).block_size == 0 ? next : DType::f16;
}

/// Whether a file keeps these two matrices of a block in one tensor.
bool share_a_tensor(const Model& model, WeightKey a, WeightKey b) {
  const auto architecture = std::ranges::find(all_architectures(), model.spec.architecture, &Architecture::name);
  if (!model.checkpoint || architecture == all_architectures().end() || !model.weights.find(a) || !model.weights.find(b)) return false;
  const ModelSpec& spec = spec_of(model, a);
  const std::string name = (*architecture)->tensor(*model.checkpoint, spec, a).name;
  return !name.empty() && name == (*architecture)->tensor(*model.checkpoint, spec, b).name;
}

class Planner {
 public:
  Planner(const Model& model, const Mix& mix, Calibrated calibrated) : model_(model), mix_(mix), calibrated_(calibrated == Calibrated::yes) {}

  TypePlan plan(PlannedPart part) {
    plan_.name = mix_.name;
    plan_.gguf_file_type = mix_.file_type;
    for (const WeightKey& key : part == PlannedPart::all ? block_matrices(model_) : std::vector<WeightKey>()) set(key, type_of_block(key));
    for (const auto& [key, weight] : model_.weights.all()) {
      if (key.bias || (key.role != Role::token_embedding && key.role != Role::head)) continue;
      set(key, is_head(key, weight) ? head_type(place_of(key), mix_.usual) : table_type(place_of(key), mix_.usual));
    }
    for (const auto& [said, count] : fallbacks_) plan_.notes.push_back(said + " (" + std::to_string(count) + (count == 1 ? " matrix)" : " matrices)"));
    return std::move(plan_);
  }

 private:
  Place place_of(const WeightKey& key) const {
    const ModelSpec& spec = spec_of(model_, key);
    const auto block = static_cast<std::size_t>(std::max(key.block, 0));
    const AttentionSpec& attention = spec.blocks[block].attention;
    const bool groups = attention.kv_heads > 0 && attention.heads / attention.kv_heads >= 4;
    return {mix_.name, key.role, block, spec.blocks.size(), groups, spec.blocks[block].mlp.experts >= 8, calibrated_};
  }

  DType type_of_block(const WeightKey& key) const {
    WeightKey query = key, value = key;
    query.role = Role::attn_q;
    value.role = Role::attn_v;
    const bool of_attention = key.role == Role::attn_q || key.role == Role::attn_k || key.role == Role::attn_v;
    return of_attention && share_a_tensor(model_, query, value) ? fused_type(place_of(key), mix_.usual) : block_type(place_of(key), mix_.usual);
  }

  /// A table that is the head too is a head.
  bool is_head(const WeightKey& key, const Weight& weight) const {
    if (key.role == Role::head) return true;
    return std::ranges::any_of(model_.weights.all(), [&](const auto& other) { return other.first.role == Role::head && !other.first.bias && vitrine::place_of(other.second) == vitrine::place_of(weight); });
  }

  void set(const WeightKey& key, DType type) {
    const std::size_t cols = model_.weights.at(key).cols;
    const DType wanted = type;
    if (cols % dtype_info(type).block_size != 0) type = fallback(type, cols);
    if (type != wanted) {
      ++fallbacks_["rows of " + std::to_string(cols) + " numbers are no whole blocks of " + std::string(dtype_info(wanted).name) + ": " + std::string(dtype_info(type).name) +
                   " in its place"];
    }
    plan_.types[key] = type;
  }

  const Model& model_;
  const Mix& mix_;
  bool calibrated_;
  TypePlan plan_;
  std::map<std::string, int> fallbacks_;
};

}  // namespace

TypePlan plan_types(const Model& model, std::string_view name, Calibrated calibrated, PlannedPart part) {
  return Planner(model, mix_named(name), calibrated).plan(part);
}

std::vector<std::string_view> type_plan_names() {
  std::vector<std::string_view> names;
  for (const Mix& mix : mixes) names.push_back(mix.name);
  return names;
}

std::vector<WeightKey> distinct_matrices(const Model& model, const TypePlan& plan) {
  std::set<const void*> seen;
  std::vector<WeightKey> keys;
  for (const auto& [key, type] : plan.types) {
    if (seen.insert(place_of(model.weights.at(key))).second) keys.push_back(key);
  }
  return keys;
}

std::size_t bytes_now(const Model& model, const TypePlan& plan) {
  std::size_t sum = 0;
  for (const WeightKey& key : distinct_matrices(model, plan)) sum += stored_bytes(model.weights.at(key));
  return sum;
}

std::size_t bytes_planned(const Model& model, const TypePlan& plan) {
  std::size_t sum = 0;
  for (const WeightKey& key : distinct_matrices(model, plan)) sum += model.weights.at(key).rows * row_bytes(plan.types.at(key), model.weights.at(key).cols);
  return sum;
}

DType most_frequent_type(const Model& model) {
  std::map<DType, std::size_t> numbers;
  for (const WeightKey& key : block_matrices(model)) numbers[model.weights.at(key).type] += model.weights.at(key).rows * model.weights.at(key).cols;
  const auto most = std::ranges::max_element(numbers, {}, [](const auto& entry) { return entry.second; });
  return most == numbers.end() ? DType::f32 : most->first;
}

}  // namespace vitrine
