#include "core/shortcuts/calibration.h"

#include <algorithm>
#include <cmath>

namespace vitrine {

std::vector<float> importance_of(const InputStatistics* statistics) {
  std::vector<float> importance;
  if (statistics == nullptr || statistics->rows == 0) return importance;
  for (const double sum : statistics->square_sums) importance.push_back(static_cast<float>(sum / static_cast<double>(statistics->rows)));
  return importance;
}

Matrix damped(Matrix gram, double share) {
  double mean = 0.0;
  for (std::size_t c = 0; c < gram.columns; ++c) {
    if (gram(c, c) == 0.0) gram(c, c) = 1.0;
    mean += gram(c, c) / static_cast<double>(gram.columns);
  }
  for (std::size_t c = 0; c < gram.columns; ++c) gram(c, c) += share * mean;
  return gram;
}

WatchingOps::WatchingOps(Ops& base, const Model& model, const std::set<WeightKey>& wanted, Statistics statistics)
    : ForwardingOps(base), statistics_(statistics) {
  for (const WeightKey& key : wanted) keys_.emplace(&model.weights.at(key), key);
}

void WatchingOps::multiply(TensorView<const float, 2> x, std::span<const Product> products) {
  std::shared_ptr<InputStatistics> shared;
  for (const Product& product : products) {
    const auto key = keys_.find(product.weight);
    if (key == keys_.end()) continue;
    std::shared_ptr<InputStatistics>& own = found_[key->second];
    if (!own) own = shared ? shared : std::make_shared<InputStatistics>();
    if (own != shared) add(x, *own);
    shared = own;
  }
  base().multiply(x, products);
}

void WatchingOps::add(TensorView<const float, 2> x, InputStatistics& to) {
  const std::size_t rows = x.extent(0), cols = x.extent(1);
  to.rows += rows;
  to.square_sums.resize(cols);
  to.magnitude_sums.resize(cols);
  FloatMatrix copy(rows, cols);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const float number = copy(r, c) = x(r, c);
      to.square_sums[c] += static_cast<double>(number) * number;
      to.magnitude_sums[c] += std::abs(static_cast<double>(number));
    }
  }
  if (statistics_ == Statistics::gram) add_gram(copy, to);
}

/// Panels of columns, so that every core has some.
void WatchingOps::add_gram(const FloatMatrix& x, InputStatistics& to) {
  constexpr std::size_t panel = 128;
  if (to.gram.rows == 0) to.gram = Matrix(x.columns, x.columns);
  pool().run((x.columns + panel - 1) / panel, [&](std::size_t index, std::size_t) {
    const std::size_t begin = index * panel, end = std::min(begin + panel, x.columns);
    FloatMatrix some(x.rows, end - begin);
    for (std::size_t r = 0; r < x.rows; ++r) std::copy_n(&x(r, begin), end - begin, &some(r, 0));
    const FloatMatrix part = product_of_transposed(some, x);  // [some of the columns, columns]
    for (std::size_t c = begin; c < end; ++c) {
      for (std::size_t other = 0; other < x.columns; ++other) to.gram(c, other) += part(c - begin, other);
    }
  });
}

StatisticsOf input_statistics(const ModelRunner& runner, std::span<const ModelText> texts, const std::set<WeightKey>& wanted,
                              Statistics statistics) {
  WatchingOps watching(runner.ops, runner.model, wanted, statistics);
  ForwardSinks sinks;  // without which the last block drops rows that nobody asks for
  sinks.hidden = [](std::span<const RowRef>, TensorView<const float, 2>) {};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    run_texts({runner.model, watching, runner.kernel, runner.kv_format, runner.workspace, runner.run}, texts.subspan(i, 1), {}, sinks);
    runner.run.step("calibration", i + 1, texts.size());
  }
  return watching.take();
}

}  // namespace vitrine
