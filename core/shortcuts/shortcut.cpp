#include "core/shortcuts/shortcut.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {

std::size_t ShortcutBench::calibration_tokens() const {
  std::size_t tokens = 0;
  for (const ModelText& text : calibration) tokens += std::max(text.ids.size(), text.source.size());
  return tokens;
}

ModelRunner ShortcutBench::runner(const Model& model) const {
  static const KvFormat plain{DType::f32};
  return {model, ops, kernel, plain, workspace, run};
}

ShortcutReport apply_shortcuts(Model& model, std::span<const ShortcutCall> calls, const ShortcutBench& bench) {
  ShortcutReport report;
  for (const ShortcutCall& call : calls) {
    const Shortcut& shortcut = call.shortcut();
    const std::size_t least = shortcut.least_calibration_tokens ? shortcut.least_calibration_tokens(call, model) : 0;
    if (const std::size_t tokens = bench.calibration_tokens(); tokens < least) {
      throw Error({"calibration text for " + std::string(shortcut.name), "at least " + std::to_string(least) + " tokens",
                   tokens == 0 ? "none" : std::to_string(tokens), "give more text with --calibration FILE"}, Fault::usage);
    }
    shortcut.apply(model, call, bench, report);
  }
  return report;
}

std::vector<WeightKey> block_matrices(const Model& model) {
  constexpr std::array roles{Role::attn_q, Role::attn_k, Role::attn_v, Role::attn_out, Role::cross_q, Role::cross_k, Role::cross_v, Role::cross_out,
                             Role::mlp_gate, Role::mlp_up, Role::mlp_down};
  std::vector<WeightKey> keys;
  std::set<const void*> seen;
  for (const auto& [key, weight] : model.weights.all()) {
    if (key.block >= 0 && !key.bias && std::ranges::find(roles, key.role) != roles.end() && seen.insert(place_of(weight)).second) keys.push_back(key);
  }
  return keys;
}

std::vector<WeightKey> sharing_matrix(const Model& model, const WeightKey& key) {
  std::vector<WeightKey> keys{key};
  const void* place = place_of(model.weights.at(key));
  for (const auto& [other, weight] : model.weights.all()) {
    if (other != key && key.block >= 0 && other.block >= 0 && place_of(weight) == place) keys.push_back(other);
  }
  return keys;
}

std::string matrix_name(const WeightKey& key) {
  std::string name = key.stack == Stack::encoder ? "encoder " : key.stack == Stack::decoder ? "decoder " : "";
  if (key.block >= 0) name += "blocks." + std::to_string(key.block) + " ";
  name += role_name(key.role);
  return key.expert >= 0 ? name + " expert " + std::to_string(key.expert) : name;
}

double relative_error(std::span<const float> a, std::span<const float> b) {
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(b[i]) - a[i];
    error += difference * difference;
    size += static_cast<double>(a[i]) * a[i];
  }
  return error == 0.0 ? 0.0 : std::sqrt(error / size);
}

void put_numbers(Model& model, const WeightKey& key, Tensor numbers, std::string made, ShortcutReport& report) {
  const Weight old = model.weights.at(key);
  const std::vector<WeightKey> sharing = sharing_matrix(model, key);
  const Tensor before = expand(old);
  const DTypeInfo& info = dtype_info(old.type);
  Tensor stored(info.quantized ? DType::f32 : old.type, {old.rows, old.cols});
  dtype_info(stored.type()).compress(numbers.floats().data(), stored.bytes().data(), old.rows * old.cols);
  MatrixChange change{matrix_name(key), std::move(made), stored_bytes(old), stored.bytes().size(), 0.0, {}};
  const Weight fresh = make_weight(std::move(stored));
  for (const WeightKey& other : sharing) model.weights.put(other, fresh);
  change.relative_error = relative_error(before.floats(), expand(model.weights.at(key)).floats());
  report.matrices.push_back(std::move(change));
}

}  // namespace vitrine
