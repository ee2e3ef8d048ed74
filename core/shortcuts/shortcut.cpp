#include "core/shortcuts/shortcut.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {
namespace {

/// @param keys  of one matrix, which is told of under the first
void put_weight(Model& model, std::span<const WeightKey> keys, const Weight& fresh, const Replacement& told, ShortcutReport& report) {
  const Weight& old = model.weights.at(keys.front());
  VITRINE_CHECK(fresh.rows == old.rows && fresh.cols == old.cols);
  MatrixChange change{matrix_name(keys.front()), told.made, stored_bytes(old), fresh.bytes(), 0.0, {}};
  for (const WeightKey& key : keys) model.weights.put(key, fresh);
  const Tensor stored = told.after ? Tensor() : expand(fresh);
  const std::span<const float> before = told.before.floats(), after = (told.after ? *told.after : stored).floats();
  change.relative_error = relative_error(before, after);
  if (!std::isfinite(change.relative_error)) require_finite(told.before, change.name);
  if (told.gram) change.output_error = output_error(before, after, *told.gram);
  report.matrices.push_back(std::move(change));
}

}  // namespace

std::size_t calibration_tokens(std::span<const ModelText> texts) {
  std::size_t tokens = 0;
  for (const ModelText& text : texts) tokens += std::max(text.ids.size(), text.source.size());
  return tokens;
}

void check_shortcut(const Model& model, const ShortcutCall& call, std::size_t calibration_tokens) {
  const Shortcut& shortcut = call.shortcut();
  const std::size_t least = shortcut.least_calibration_tokens ? shortcut.least_calibration_tokens(call, model) : 0;
  if (calibration_tokens < least) {
    throw Error({"calibration text for " + std::string(shortcut.name), "at least " + std::to_string(least) + " tokens",
                 calibration_tokens == 0 ? "none" : std::to_string(calibration_tokens), "give more text with --calibration FILE"}, Fault::usage);
  }
  if (shortcut.check) shortcut.check(model, call, calibration_tokens);
}

ModelRunner ShortcutBench::runner(const Model& model) const {
  static const KvFormat plain{DType::f32};
  return {model, ops, kernel, plain, workspace, run};
}

void require_order(std::span<const ShortcutCall> calls) {
  const auto layering = [](const ShortcutCall& call) { return call.shortcut().layering ? call.shortcut().layering(call) : Layering::none; };
  const auto refuse = [](const ShortcutCall& first, const ShortcutCall& second, const std::string& hint) {
    throw Error({"shortcut " + std::string(second.shortcut().name) + " behind " + std::string(first.shortcut().name), "products that it can change", "factors that stand in the place of the weights", hint}, Fault::usage);
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (layering(calls[j]) == Layering::instead && layering(calls[i]) != Layering::beside) refuse(calls[j], calls[i], "put it in front");
      if (layering(calls[i]) == Layering::instead && layering(calls[j]) != Layering::none) {
        throw Error({"shortcut " + std::string(calls[i].shortcut().name) + " behind " + std::string(calls[j].shortcut().name), "weights alone, which it takes apart", "products that are changed already",
                     "leave one of them out, or merge the adapter"}, Fault::usage);
      }
    }
  }
}

ShortcutReport apply_shortcuts(Model& model, std::span<const ShortcutCall> calls, const ShortcutBench& bench) {
  require_order(calls);
  ShortcutReport report;
  for (const ShortcutCall& call : calls) {
    check_shortcut(model, call, bench.calibration_tokens());
    call.shortcut().apply(model, call, bench, report);
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

double squared_output(const Matrix& weights, const Matrix& gram) {
  const Matrix through = product(weights, gram);
  double sum = 0.0;
  for (std::size_t i = 0; i < weights.numbers.size(); ++i) sum += weights.numbers[i] * through.numbers[i];
  return sum;
}

double output_error(std::span<const float> a, std::span<const float> b, const Matrix& gram) {
  const std::size_t cols = gram.columns;
  Matrix before(a.size() / cols, cols), difference(a.size() / cols, cols);
  for (std::size_t i = 0; i < a.size(); ++i) {
    before.numbers[i] = a[i];
    difference.numbers[i] = static_cast<double>(b[i]) - a[i];
  }
  const double error = squared_output(difference, gram);
  return error <= 0.0 ? 0.0 : std::sqrt(error / squared_output(before, gram));
}

void require_finite(const Tensor& numbers, const std::string& name) {
  const auto found = std::ranges::find_if_not(numbers.floats(), [](float number) { return std::isfinite(number); });
  if (found == numbers.floats().end()) return;
  throw Error({name, "finite numbers", std::isnan(*found) ? "NaN" : "infinity", "the model is broken: take another copy of it"});
}

Tensor copy_of(const Tensor& tensor) {
  Tensor copy(tensor.type(), tensor.shape());
  std::ranges::copy(tensor.bytes(), copy.bytes().begin());
  return copy;
}

void put_numbers(Model& model, const WeightKey& key, const Tensor& numbers, const Replacement& told, ShortcutReport& report) {
  const DType type = model.weights.at(key).type;
  Tensor stored(dtype_info(type).quantized ? DType::f32 : type, numbers.shape());
  dtype_info(stored.type()).compress(numbers.floats().data(), stored.bytes().data(), numbers.size());
  put_weight(model, sharing_matrix(model, key), make_weight(std::move(stored)), told, report);
}

void put_tensor(Model& model, const WeightKey& key, Tensor tensor, const Replacement& told, ShortcutReport& report) {
  const Weight& old = model.weights.at(key);
  std::vector<WeightKey> same{key};
  for (const auto& [other, weight] : model.weights.all()) {
    if (other != key && place_of(weight) == place_of(old) && weight.rows == old.rows && weight.cols == old.cols) same.push_back(other);
  }
  put_weight(model, same, make_weight(std::move(tensor)), told, report);
}

}  // namespace vitrine
