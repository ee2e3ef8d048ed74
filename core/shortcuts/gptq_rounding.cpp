#include "core/shortcuts/gptq_rounding.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/linear_algebra.h"

namespace vitrine {
namespace {

constexpr std::size_t tile = 8;  // rows that share a pass over the factor

}  // namespace

Gptq::Gptq(const Matrix& gram, const GptqOptions& options) : ordered_(options.ordered), order_(gram.rows) {
  const std::size_t cols = gram.rows;
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  for (std::size_t i = 0; i < cols; ++i) importance_.push_back(gram(i, i));
  if (ordered_) std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return importance_[a] > importance_[b]; });
  const Matrix raised = damped(gram, options.damping);
  Matrix ordered(cols, cols);
  for (std::size_t i = 0; i < cols; ++i) {
    for (std::size_t j = 0; j < cols; ++j) ordered(i, j) = raised(order_[i], order_[j]);
  }
  std::optional<Matrix> factor = inverse_factor(ordered);
  if (!factor) throw Error({"gptq", "a positive definite X^T X", "one that is not", "raise damping, or give more calibration text"});
  factor_ = std::move(*factor);
}

/// Works on a few rows, numbers in the order of the columns.
class Gptq::RowTile {
 public:
  RowTile(const Gptq& plan, const GridRule& rule) : plan_(plan), rule_(rule), cols_(plan.order_.size()), run_(rule.run_of(cols_)) {}

  void round(const float* rows, std::size_t count, double* levels, Grid* grids) {
    const std::size_t runs = cols_ / run_;
    numbers_.resize(count * cols_);
    for (std::size_t r = 0; r < count; ++r) {
      if (plan_.ordered_) fit_all(rows + r * cols_, grids + r * runs);
      for (std::size_t i = 0; i < cols_; ++i) numbers_[r * cols_ + i] = alive(rows + r * cols_, plan_.order_[i]);
    }
    for (std::size_t i = 0; i < cols_; ++i) {
      const std::size_t column = plan_.order_[i];
      const double* factor = &plan_.factor_(i, 0);
      for (std::size_t r = 0; r < count; ++r) {
        double* row = numbers_.data() + r * cols_;
        Grid& grid = grids[r * runs + column / run_];
        if (!plan_.ordered_ && i % run_ == 0) grid = rule_.fit({row + i, run_}, {plan_.importance_.data() + i, run_});
        const double level = grid.level(row[i]), error = (row[i] - grid.value(level)) / factor[i];
        levels[r * cols_ + column] = level;
        for (std::size_t j = i + 1; j < cols_; ++j) row[j] -= error * factor[j];
      }
    }
  }

 private:
  double alive(const float* row, std::size_t column) const { return plan_.importance_[column] == 0.0 ? 0.0 : row[column]; }

  void fit_all(const float* row, Grid* grids) {
    std::vector<double> numbers(run_);
    for (std::size_t g = 0; g < cols_ / run_; ++g) {
      for (std::size_t i = 0; i < run_; ++i) numbers[i] = alive(row, g * run_ + i);
      grids[g] = rule_.fit(numbers, {plan_.importance_.data() + g * run_, run_});
    }
  }

  const Gptq& plan_;
  const GridRule& rule_;
  std::size_t cols_, run_;
  std::vector<double> numbers_;  // [rows, cols]
};

GriddedMatrix Gptq::round(const Tensor& weights, const GridRule& rule, ThreadPool& pool) const {
  const std::size_t cols = weights.shape().back(), rows = weights.size() / cols, runs = cols / rule.run_of(cols);
  VITRINE_CHECK(cols == order_.size());
  GriddedMatrix result{std::vector<double>(rows * cols), std::vector<Grid>(rows * runs)};
  pool.run((rows + tile - 1) / tile, [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * tile;
    RowTile(*this, rule).round(weights.floats().data() + first * cols, std::min(tile, rows - first), result.levels.data() + first * cols, result.grids.data() + first * runs);
  });
  return result;
}

GriddedMatrix nearest_round(const Tensor& weights, std::span<const double> importance, const GridRule& rule, ThreadPool& pool) {
  const std::size_t cols = weights.shape().back(), rows = weights.size() / cols, run = rule.run_of(cols), runs = cols / run;
  GriddedMatrix result{std::vector<double>(rows * cols), std::vector<Grid>(rows * runs)};
  pool.run(rows, [&](std::size_t r, std::size_t) {
    std::vector<double> numbers(weights.floats().begin() + static_cast<std::ptrdiff_t>(r * cols), weights.floats().begin() + static_cast<std::ptrdiff_t>((r + 1) * cols));
    for (std::size_t g = 0; g < runs; ++g) {
      const std::span<const double> of_run(numbers.data() + g * run, run);
      const Grid grid = result.grids[r * runs + g] = rule.fit(of_run, importance.empty() ? importance : importance.subspan(g * run, run));
      for (std::size_t i = 0; i < run; ++i) result.levels[r * cols + g * run + i] = grid.level(of_run[i]);
    }
  });
  return result;
}

Tensor tensor_of(const GriddedMatrix& matrix, const GridRule& rule, std::size_t cols) {
  const std::size_t rows = matrix.levels.size() / cols, run = rule.run_of(cols), runs = cols / run;
  Tensor tensor(rule.blocks, {rows, cols});
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span<const Grid> grids(matrix.grids.data() + r * runs, runs);
    const std::span<const double> levels(matrix.levels.data() + r * cols, cols);
    if (rule.blocks != DType::f32) {
      store_blocks(rule.blocks, grids, levels, tensor.bytes().data() + r * row_bytes(rule.blocks, cols));
      continue;
    }
    for (std::size_t i = 0; i < cols; ++i) tensor.floats()[r * cols + i] = static_cast<float>(grids[i / run].value(levels[i]));
  }
  return tensor;
}

void round_matrices(Model& model, const GridRule& rule, const ShortcutBench& bench, ShortcutReport& report) {
  const std::vector<WeightKey> keys = block_matrices(model);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Tensor numbers = expand(model.weights.at(keys[i]));
    put_numbers(model, keys[i], tensor_of(nearest_round(numbers, {}, rule, bench.ops.pool()), rule, numbers.shape().back()), {rule.name, numbers}, report);
    bench.run.step("rounding", i + 1, keys.size());
  }
}

}  // namespace vitrine
