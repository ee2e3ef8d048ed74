#include <algorithm>
#include <cmath>
#include <numeric>

#include "probes/analysis.h"
#include "probes/weight_algebra.h"

// Whether what a head writes for a token points to where the token came from (Elhage et al. 2021, A Mathematical Framework for
// Transformer Circuits, "Detecting copying"): the sum of the eigenvalues of a circuit over the sum of their absolute values, from -1 to 1,
// 1 where all are positive. Of W_V W_O, residual stream to residual stream, and of the full circuit W_E W_V W_O W_U, token to token; the
// non-zero eigenvalues of both are those of d_head x d_head matrices, W_O W_V and W_O W_U W_E W_V. Weights are folded as TransformerLens
// does (probes/weight_algebra.h), so that its published numbers compare: gains in, writers and the head centred. Of grouped queries each
// head has its group's W_V. Positive eigenvalues do not say that a head copies on a given text.

namespace vitrine {
namespace {

double positive_share(const Matrix& circuit) {
  std::complex<double> sum = 0.0;
  double absolute = 0.0;
  for (const std::complex<double>& value : eigenvalues(circuit)) {
    sum += value;
    absolute += std::abs(value);
  }
  return absolute > 0.0 ? sum.real() / absolute : std::nan("");
}

AnalysisResult run(const AnalysisInput& input) {
  const Model& model = input.model->model;
  const std::optional<Matrix> tokens = embedding_times_head(model, input.pool);
  const std::size_t blocks = model.spec.blocks.size();
  std::size_t heads = 0;
  for (const BlockSpec& block : model.spec.blocks) heads = std::max(heads, block.attention.heads);
  std::vector<double> stream(blocks * heads, std::nan("")), full(blocks * heads, std::nan(""));
  for (std::size_t block = 0; block < blocks; ++block) {
    input.pool.run(model.spec.blocks[block].attention.heads, [&](std::size_t head, std::size_t) {
      const HeadWeights weights = head_weights(model, block, head);
      stream[block * heads + head] = positive_share(product(weights.v, weights.o));
      if (tokens) full[block * heads + head] = positive_share(product(weights.v, product(*tokens, weights.o)));
    });
    input.run.step("ov_copying", block + 1, blocks);
  }
  AnalysisTable table{"sum of eigenvalues over sum of their absolute values", {"head", "W_V W_O", "W_E W_V W_O W_U"}, {}};
  std::vector<std::size_t> order(stream.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return tokens ? full[i] : stream[i]; });
  for (const std::size_t i : order) {
    if (!std::isnan(stream[i])) table.rows.push_back({head_label(i / heads, i % heads), stream[i], full[i]});
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {head_grid("copying by eigenvalues of W_V W_O", "share", heads, std::move(stream))};
  if (tokens) result.grids.push_back(head_grid("copying by eigenvalues of W_E W_V W_O W_U", "share", heads, std::move(full)));
  result.notes = {"Of weights alone: scales of norms depend on the text and are left out."};
  if (!tokens) result.notes.push_back("No full circuit: this model has no head, or one that is not linear.");
  return result;
}

}  // namespace

const Analysis& analysis_ov_copying() {
  static const Analysis analysis{"ov_copying",
                                 "whether heads write what they read, by eigenvalues of their OV circuits",
                                 "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
                                 "vitrine analyse ov_copying MODEL --svg pictures",
                                 AnalysisOf::weights,
                                 {},
                                 run};
  return analysis;
}

}  // namespace vitrine
