#include <algorithm>

#include "core/base/error.h"
#include "core/base/linear_algebra.h"
#include "core/shortcuts/sparsity.h"

namespace vitrine {
namespace {

/// A matrix that loses numbers column by column, each loss made up for by the columns behind it (algorithm 1 of the paper).
class Compensated {
 public:
  /// @param inverse  U of (X^T X + damping)^-1 = U^T U
  Compensated(Matrix weights, const Matrix& inverse, const Sparsity& sparsity) : weights_(std::move(weights)), inverse_(inverse), sparsity_(sparsity) {}

  void run(std::size_t columns_at_once, ThreadPool& pool) {
    constexpr std::size_t rows_apiece = 64;
    for (std::size_t begin = 0; begin < weights_.columns; begin += columns_at_once) {
      const std::size_t end = std::min(begin + columns_at_once, weights_.columns);
      choose(begin, end);
      pool.run((weights_.rows + rows_apiece - 1) / rows_apiece, [&](std::size_t piece, std::size_t) {
        const std::size_t first = piece * rows_apiece;
        run_rows({first, std::min(first + rows_apiece, weights_.rows)}, begin, end);
      });
    }
  }
  const Matrix& weights() const { return weights_; }

 private:
  struct Rows {
    std::size_t begin, end;
  };

  /// w^2 / U_cc^2, the error that setting a number to zero costs. Of groups the scores change on the way: those are marked when their first
  /// column comes.
  double score(std::size_t r, std::size_t c) const { return weights_(r, c) * weights_(r, c) / (inverse_(c, c) * inverse_(c, c)); }

  void choose(std::size_t begin, std::size_t end) {
    const std::size_t width = end - begin;
    if (sparsity_.group > 0) {
      gone_.assign(weights_.rows * width, 0);
      return;
    }
    std::vector<double> scores(weights_.rows * width);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = score(i / width, begin + i % width);
    gone_ = lowest(scores, width, sparsity_, MaskScope::matrix);
  }

  void choose_group(std::size_t row, std::size_t column, std::uint8_t* marks) const {
    std::vector<double> scores(sparsity_.group);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = score(row, column + i);
    std::ranges::copy(lowest(scores, scores.size(), sparsity_, MaskScope::row), marks);
  }

  void run_rows(const Rows& rows, std::size_t begin, std::size_t end) {
    const std::size_t width = end - begin, behind = weights_.columns - end;
    Matrix errors(rows.end - rows.begin, width);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      std::uint8_t* gone = gone_.data() + r * width;
      for (std::size_t c = begin; c < end; ++c) {
        if (sparsity_.group > 0 && c % sparsity_.group == 0) choose_group(r, c, gone + (c - begin));
        const double number = weights_(r, c), error = gone[c - begin] ? number / inverse_(c, c) : 0.0;
        errors(r - rows.begin, c - begin) = error;
        if (error == 0.0) {
          if (gone[c - begin]) weights_(r, c) = 0.0;
          continue;
        }
        weights_(r, c) = 0.0;
        for (std::size_t after = c + 1; after < end; ++after) weights_(r, after) -= error * inverse_(c, after);
      }
    }
    if (behind == 0) return;
    Matrix ahead(width, behind);
    for (std::size_t c = 0; c < width; ++c) std::copy_n(&inverse_(begin + c, end), behind, &ahead(c, 0));
    const Matrix change = product(errors, ahead);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      for (std::size_t c = 0; c < behind; ++c) weights_(r, end + c) -= change(r - rows.begin, c);
    }
  }

  Matrix weights_;         // [rows, cols]
  const Matrix& inverse_;  // [cols, cols]
  const Sparsity& sparsity_;
  std::vector<std::uint8_t> gone_;  // [rows, columns at once]
};

/// The factor of 2 X^T X / rows, damped.
Matrix damped_inverse(const InputStatistics& statistics, double damp, const WeightKey& key) {
  Matrix hessian = statistics.gram;
  for (double& number : hessian.numbers) number *= 2.0 / static_cast<double>(statistics.rows);
  std::optional<Matrix> factor = inverse_factor(damped(std::move(hessian), damp));
  if (!factor) throw Error({matrix_name(key), "inputs whose damped Gram matrix can be inverted", "others", "use a larger damp, or more calibration text"});
  return std::move(*factor);
}

double damp_of(const ShortcutCall& call) { return call.number("damp", 1e-6, 1.0); }

std::size_t columns_at_once(const ShortcutCall& call, const Sparsity& sparsity) {
  const std::size_t columns = call.whole("block", 1, 65536);
  if (sparsity.group == 0 || columns % sparsity.group == 0) return columns;
  throw Error({"shortcut sparsegpt, block", "a multiple of the pattern's " + std::to_string(sparsity.group), std::to_string(columns), ""}, Fault::usage);
}

void check(const Model& model, const ShortcutCall& call, std::size_t) {
  columns_at_once(call, sparsity_of(call, model));
  damp_of(call);
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const Sparsity sparsity = sparsity_of(call, model);
  const double damp = damp_of(call);
  const std::size_t columns = columns_at_once(call, sparsity);
  SharedStatistics last;  // q, k and v share theirs
  Matrix inverse;
  change_matrices(model, bench, spelled(sparsity), [&](const WeightKey& key, Tensor& numbers, const SharedStatistics& statistics) {
    if (statistics != last) inverse = damped_inverse(*statistics, damp, key);
    last = statistics;
    Matrix weights(numbers.shape()[0], numbers.shape()[1]);
    for (std::size_t i = 0; i < weights.numbers.size(); ++i) weights.numbers[i] = statistics->square_sums[i % weights.columns] == 0.0 ? 0.0 : numbers.floats()[i];
    Compensated compensated(std::move(weights), inverse, sparsity);
    compensated.run(columns, bench.ops.pool());
    std::ranges::transform(compensated.weights().numbers, numbers.floats().begin(), [](double number) { return static_cast<float>(number); });
  }, report);
}

/// With fewer rows than columns only the damping decides in the directions that no row has.
std::size_t least_tokens(const ShortcutCall&, const Model& model) { return model.spec.width; }

}  // namespace

const Shortcut& shortcut_sparsegpt() {
  static const Shortcut shortcut{"sparsegpt", "zeros whose loss the numbers that stay make up for", "Frantar & Alistarh 2023, arXiv:2301.00774", "sparsegpt:pattern=2:4",
                                 {sparsity_option, pattern_option, {"block", "columns whose numbers are compared at once", "128"}, {"damp", "share of the mean diagonal added to it", "0.01"}},
                                 least_tokens, check, apply, random_mask_like};
  return shortcut;
}

}  // namespace vitrine
