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
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const double number = x(r, c);
      to.square_sums[c] += number * number;
      to.magnitude_sums[c] += std::abs(number);
    }
  }
  if (statistics_ == Statistics::gram) add_gram(x, to);
}

/// Panels of columns, so that every core has some: each times itself and what is behind it, the upper triangle.
void WatchingOps::add_gram(TensorView<const float, 2> x, InputStatistics& to) {
  constexpr std::size_t panel = 128;
  const std::size_t rows = x.extent(0), cols = x.extent(1);
  if (to.gram.rows == 0) to.gram = Matrix(cols, cols);
  pool().run((cols + panel - 1) / panel, [&](std::size_t index, std::size_t) {
    const std::size_t begin = index * panel, width = std::min(panel, cols - begin), behind = cols - begin;
    FloatMatrix some(rows, width), rest(rows, behind);
    for (std::size_t r = 0; r < rows; ++r) {
      std::copy_n(&x(r, begin), width, &some(r, 0));
      std::copy_n(&x(r, begin), behind, &rest(r, 0));
    }
    const FloatMatrix part = product_of_transposed(some, rest);  // [some of the columns, those behind]
    for (std::size_t c = 0; c < width; ++c) {
      for (std::size_t other = c; other < behind; ++other) to.gram(begin + c, begin + other) += part(c, other);
    }
  });
}

StatisticsOf WatchingOps::take() {
  for (const auto& [key, statistics] : found_) {
    Matrix& gram = statistics->gram;
    for (std::size_t r = 1; r < gram.rows; ++r) {
      for (std::size_t c = 0; c < r; ++c) gram(r, c) = gram(c, r);
    }
  }
  return {found_.begin(), found_.end()};
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
