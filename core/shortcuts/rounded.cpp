#include "core/shortcuts/rounded.h"

#include "core/base/error.h"

namespace vitrine {

void put_tensor(Model& model, const WeightKey& key, Tensor tensor, ShortcutReport& report) {
  const Weight old = model.weights.at(key);
  const Weight fresh = make_weight(std::move(tensor));
  VITRINE_CHECK(fresh.rows == old.rows && fresh.cols == old.cols);
  MatrixChange change{matrix_name(key), std::string(dtype_info(fresh.type).name), old.bytes(), fresh.bytes(), 0.0, {}};
  change.relative_error = relative_error(expand(old).floats(), expand(fresh).floats());
  std::vector<WeightKey> same;
  for (const auto& [other, weight] : model.weights.all()) {
    if (weight.data == old.data && weight.rows == old.rows && weight.cols == old.cols) same.push_back(other);
  }
  for (const WeightKey& other : same) model.weights.put(other, fresh);
  report.matrices.push_back(std::move(change));
}

std::vector<float> importance_of(const InputStatistics* statistics) {
  std::vector<float> importance;
  if (statistics == nullptr || statistics->rows == 0) return importance;
  for (const double sum : statistics->square_sums) importance.push_back(static_cast<float>(sum / static_cast<double>(statistics->rows)));
  return importance;
}

}  // namespace vitrine
