#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/weight_algebra.h"

// How much of what an earlier head writes a later one can read (Elhage et al. 2021; scores as TransformerLens' all_composition_scores):
//   |A B|_F / (|A|_F |B|_F), rows on the left: A = W_V W_O of the earlier head, B of the later one
//   Q: W_Q W_K^T    K: (W_Q W_K^T)^T    V: W_V W_O
// without rope, which turns queries and keys by their positions. Norms of products of thin matrices are traces of d_head x d_head ones:
// |L M R^T|^2 = tr(M^T (L^T L) M (R^T R)). Weights are folded (probes/weight_algebra.h). Any two matrices have a score above 0: beside it
// stands the mean of pairs with the same shapes and Gaussian numbers, whose spread says how far above it chance reaches.

namespace vitrine {
namespace {

/// left right^T, [width, width] of rank d_head, with the Gram matrices of both sides.
struct Thin {
  Matrix left, right;            // [width, d_head]
  Matrix left_gram, right_gram;  // [d_head, d_head]
  double norm = 0.0;
};

double frobenius(const Matrix& left_gram, const Matrix& middle, const Matrix& right_gram) {
  const Matrix a = product(left_gram, middle), b = product(middle, right_gram);
  return std::sqrt(std::max(0.0, std::inner_product(a.numbers.begin(), a.numbers.end(), b.numbers.begin(), 0.0)));
}

Thin thin(Matrix left, Matrix right) {
  Thin circuit{std::move(left), std::move(right), {}, {}, 0.0};
  circuit.left_gram = product_of_transposed(circuit.left, circuit.left);
  circuit.right_gram = product_of_transposed(circuit.right, circuit.right);
  double squares = 0.0;
  for (std::size_t i = 0; i < circuit.left_gram.numbers.size(); ++i) squares += circuit.left_gram.numbers[i] * circuit.right_gram.numbers[i];
  circuit.norm = std::sqrt(squares);
  return circuit;
}

double score(const Thin& first, const Thin& second) {
  const double scale = first.norm * second.norm;
  return scale > 0.0 ? frobenius(first.left_gram, product_of_transposed(first.right, second.left), second.right_gram) / scale : std::nan("");
}

Matrix turned(const Matrix& a) {
  Matrix out(a.columns, a.rows);
  for (std::size_t r = 0; r < a.rows; ++r) {
    for (std::size_t c = 0; c < a.columns; ++c) out(c, r) = a(r, c);
  }
  return out;
}

Matrix gaussian(std::size_t rows, std::size_t columns, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Matrix out(rows, columns);
  for (double& number : out.numbers) number = normal(random);
  return out;
}

struct Baseline {
  double mean = 0.0, deviation = 0.0;
};

Baseline baseline_of(std::size_t width, std::size_t dim, std::size_t draws) {
  std::mt19937_64 random(0);
  std::vector<double> scores;
  for (std::size_t i = 0; i < draws; ++i) {
    const auto circuit = [&] { return thin(gaussian(width, dim, random), gaussian(width, dim, random)); };
    const Thin first = circuit(), second = circuit();
    scores.push_back(score(first, second));
  }
  Baseline baseline;
  for (const double value : scores) baseline.mean += value / static_cast<double>(draws);
  for (const double value : scores) baseline.deviation += (value - baseline.mean) * (value - baseline.mean) / static_cast<double>(draws - 1);
  baseline.deviation = std::sqrt(baseline.deviation);
  return baseline;
}

struct Place {
  std::size_t layer, head;
};

/// W_Q W_K^T, its transpose or W_V W_O of a later head.
Thin later_circuit(const Model& model, const Place& place, const std::string& kind) {
  const HeadWeights weights = head_weights(model, place.layer, place.head);
  if (kind == "v") return thin(turned(weights.v), weights.o);
  return kind == "q" ? thin(turned(weights.q), turned(weights.k)) : thin(turned(weights.k), turned(weights.q));
}

AnalysisResult run(const AnalysisInput& input) {
  const Model& model = input.model->model;
  const std::string& kind = input.options.choice("kind", {"q", "k", "v"});
  const std::size_t top = input.options.whole("top", 1, 100000), draws = input.options.whole("draws", 2, 1000);
  std::vector<Place> places;
  std::vector<std::string> labels;
  for (std::size_t layer = 0; layer < model.spec.blocks.size(); ++layer) {
    for (std::size_t head = 0; head < model.spec.blocks[layer].attention.heads; ++head) {
      places.push_back({layer, head});
      labels.push_back(head_label(layer, head));
    }
  }
  if (model.spec.blocks.size() < 2)
    throw Error({model.path.filename().string(), "heads in at least two layers", "one layer", "a later head reads what an earlier one wrote"});
  const std::size_t count = places.size();
  std::vector<Thin> readers(count), writers(count);
  input.pool.run(count, [&](std::size_t i, std::size_t) {
    const HeadWeights weights = head_weights(model, places[i].layer, places[i].head);
    writers[i] = thin(turned(weights.v), weights.o);
    readers[i] = later_circuit(model, places[i], kind);
  });
  std::vector<double> scores(count * count, std::nan(""));
  for (std::size_t later = 0; later < count; ++later) {
    input.pool.run(count, [&](std::size_t earlier, std::size_t) {
      if (places[earlier].layer < places[later].layer) scores[earlier * count + later] = score(writers[earlier], readers[later]);
    });
    input.run.step("composition", later + 1, count);
  }
  const Baseline chance = baseline_of(model.spec.width, model.spec.blocks.front().attention.head_dim, draws);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isnan(scores[i])) order.push_back(i);
  }
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return scores[i]; });
  AnalysisTable table{"largest " +
                          std::string(kind == "q"   ? "Q"
                                      : kind == "k" ? "K"
                                                    : "V") +
                          "-composition",
                      {"earlier", "later", "score", "random pairs", "random pairs, deviation"},
                      {}};
  for (std::size_t n = 0; n < std::min(top, order.size()); ++n) {
    table.rows.push_back({labels[order[n] / count], labels[order[n] % count], scores[order[n]], chance.mean, chance.deviation});
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {{kind + "-composition", "earlier head", "later head", "share", labels, labels, std::move(scores)}};
  result.notes = {
      "Scores of " + std::to_string(draws) + " pairs of Gaussian matrices of these shapes stand beside; a rank in a long list is no finding.",
      "Of weights alone: without rope, biases and the scales of norms."};
  return result;
}

}  // namespace

const Analysis& analysis_composition() {
  static constexpr AnalysisOption options[] = {
      {"kind", "q, k or v: as what the later head reads", "k"}, {"top", "pairs in the table", "20"}, {"draws", "random pairs", "20"}};
  static const Analysis analysis{"composition",
                                 "how much of what a head writes a later head reads, by weights",
                                 "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
                                 "vitrine analyse composition MODEL --set kind=q",
                                 AnalysisOf::weights,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
