#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/base/linear_algebra.h"
#include "core/shortcuts/low_rank_ops.h"
#include "core/shortcuts/sequential.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {
namespace {

constexpr std::array<std::string_view, 3> weightings{"none", "columns", "gram"};
enum class Weighting { none, columns, gram };

struct Factors {
  Tensor down;  // [rank, cols]
  Tensor up;    // [rows, rank]
};

/// The largest eigenvectors, as columns.
Matrix leading(const Matrix& symmetric, std::size_t count) {
  const SymmetricEigen eigen = symmetric_eigen(symmetric);  // rising
  Matrix vectors(symmetric.rows, count);
  for (std::size_t r = 0; r < symmetric.rows; ++r) {
    for (std::size_t c = 0; c < count; ++c) vectors(r, c) = eigen.vectors(r, symmetric.rows - 1 - c);
  }
  return vectors;
}

Tensor tensor_of(const Matrix& matrix) {
  Tensor tensor(DType::f32, {matrix.rows, matrix.columns});
  std::ranges::transform(matrix.numbers, tensor.floats().begin(), [](double number) { return static_cast<float>(number); });
  return tensor;
}

Matrix transposed(const Matrix& a) {
  Matrix turned(a.columns, a.rows);
  for (std::size_t r = 0; r < a.rows; ++r) {
    for (std::size_t c = 0; c < a.columns; ++c) turned(c, r) = a(r, c);
  }
  return turned;
}

/// The closest matrix of the rank, || (W - W') S ||_F least, where weighting = S S^T (Eckart & Young 1936): W' = U U^T W by the leading
/// eigenvectors U of W S S^T W^T, or from the other side W' = W S V V^T S^-1 by those of S^T W^T W S, whichever is smaller.
/// @param root  S, lower triangle
Factors closest(const Matrix& weights, const Matrix& root, std::size_t rank) {
  const Matrix seen = product(weights, root);
  if (weights.rows <= weights.columns) {
    const Matrix basis = leading(product_with_transposed(seen, seen), rank);
    return {tensor_of(product_of_transposed(basis, weights)), tensor_of(basis)};
  }
  const Matrix basis = leading(product_of_transposed(seen, seen), rank);
  return {tensor_of(solve_behind_lower(root, transposed(basis))), tensor_of(product(seen, basis))};
}

/// S of the inputs: 1, roots of mean squares, or the Cholesky factor of the Gram matrix, whose diagonal is raised a little so that columns
/// that nothing came through count for something.
Matrix root_of(Weighting weighting, const InputStatistics* statistics, std::size_t columns, const WeightKey& key) {
  constexpr double damp = 1e-4;
  Matrix root(columns, columns);
  double mean = 0.0;
  for (std::size_t c = 0; weighting != Weighting::none && c < columns; ++c) mean += statistics->square_sums[c] / static_cast<double>(columns);
  if (weighting == Weighting::gram) {
    Matrix gram = statistics->gram;
    for (std::size_t c = 0; c < columns; ++c) gram(c, c) += damp * mean;
    std::optional<Matrix> factor = cholesky(gram);
    if (!factor) throw Error({matrix_name(key), "inputs whose Gram matrix has a Cholesky factor", "others", "use weighted=columns"});
    return std::move(*factor);
  }
  for (std::size_t c = 0; c < columns; ++c) root(c, c) = weighting == Weighting::none ? 1.0 : std::sqrt(statistics->square_sums[c] + damp * mean);
  return root;
}

/// As many as the share of its bytes pays for; both factors are kept in f32, so of an F16 matrix half as many.
std::size_t rank_of(const ShortcutCall& call, const Weight& weight) {
  const std::size_t largest = std::min(weight.rows, weight.cols);
  if (call.has("rank")) return std::min(largest, call.whole("rank", 1, 1u << 20));
  const double bytes = call.number("share", 0.001, 1.0) * static_cast<double>(stored_bytes(weight));
  return std::clamp<std::size_t>(static_cast<std::size_t>(bytes / static_cast<double>(sizeof(float) * (weight.rows + weight.cols))), 1, largest);
}

void check(const Model& model, const ShortcutCall& call, std::size_t) {
  if (call.has("rank") && call.has("share")) throw Error({"shortcut svd", "a rank, or a share of the bytes", "both", ""}, Fault::usage);
  for (const WeightKey& key : block_matrices(model)) rank_of(call, model.weights.at(key));
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const auto weighting = static_cast<Weighting>(call.choice("weighted", weightings));
  std::map<WeightKey, LowRankTerm> terms;
  std::vector<std::size_t> bytes;
  change_matrices(model, bench, "factors", [&](const WeightKey& key, Tensor& numbers, const SharedStatistics& statistics) {
    const Weight& weight = model.weights.at(key);
    Matrix weights(weight.rows, weight.cols);
    std::ranges::copy(numbers.floats(), weights.numbers.begin());
    Factors factors = closest(weights, root_of(weighting, statistics.get(), weight.cols, key), rank_of(call, weight));
    LowRankTerm term{make_weight(std::move(factors.down)), make_weight(std::move(factors.up)), LowRankTerm::Of::whole};
    const Tensor down = expand(term.down), up = expand(term.up);
    Matrix left(weight.rows, term.down.rows), right(term.down.rows, weight.cols);
    std::ranges::copy(up.floats(), left.numbers.begin());
    std::ranges::copy(down.floats(), right.numbers.begin());
    std::ranges::transform(product(left, right).numbers, numbers.floats().begin(), [](double number) { return static_cast<float>(number); });
    bytes.push_back(term.down.bytes() + term.up.bytes());
    terms.emplace(key, std::move(term));
  }, report);
  const std::size_t first = report.matrices.size() - bytes.size();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    report.bytes_beside += static_cast<std::ptrdiff_t>(bytes[i]) - static_cast<std::ptrdiff_t>(report.matrices[first + i].bytes_after);
    report.matrices[first + i].bytes_after = bytes[i];
  }
  report.layers.push_back(low_rank_layer(std::move(terms)));
}

std::size_t least_tokens(const ShortcutCall& call, const Model& model) {
  const auto weighting = static_cast<Weighting>(call.choice("weighted", weightings));
  return weighting == Weighting::none ? 0 : weighting == Weighting::columns ? 32 : model.spec.width;
}

}  // namespace

const Shortcut& shortcut_svd() {
  static const Shortcut shortcut{"svd", "each matrix as two factors of low rank, the closest by its numbers or by what it puts out", "Eckart & Young 1936; whitened as in Wang et al. 2024, arXiv:2403.07378", "svd:share=0.5",
                                 {{"rank", "of every matrix", "", true}, {"share", "of the bytes, which says the rank", "0.5"}, {"weighted", "none, columns (root mean squares of the inputs) or gram (their Cholesky factor)", "none"}},
                                 least_tokens, check, apply, nullptr, [](const ShortcutCall&) { return Layering::instead; }};
  return shortcut;
}

}  // namespace vitrine
