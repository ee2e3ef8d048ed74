#include "probes/similarity.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/recorded_layers.h"

// How alike the layers of two recordings of the same texts are, whatever their widths:
//   cka           linear CKA (Kornblith et al. 2019, arXiv:1905.00414, eq. 2): <K, L> / (|K| |L|) of centred Gram matrices of rows
//   cka_corrected  the same with Gram matrices free of bias (Székely & Rizzo 2014), which few rows of wide layers do not raise
//   svcca         mean canonical correlation of the directions that hold 99% of the variance (Raghu et al. 2017, arXiv:1706.05806)
// A grid of all pairs of layers; on the diagonal, layers of one name, an interval by the bootstrap over texts (percentiles of 200) and the
// control of a similarity that rows in another order would give (mean of 10 shuffles), without which 0.9 says nothing: wide layers and few
// rows look alike. The first row of each text, where one huge value rules, is left out unless asked for.

namespace vitrine {
namespace {

constexpr std::size_t shuffles = 10;
constexpr double kept_variance = 0.99;

enum class Measure { cka, cka_corrected, svcca };

/// What is compared of a layer: a Gram matrix, or directions.  [rows, rows] or [rows, kept]
Matrix prepared(Measure measure, Matrix gram) { return measure == Measure::cka ? centered(std::move(gram)) : corrected(std::move(gram)); }

struct Layer {
  Matrix gram;  // x x^T; none for svcca
  Matrix compared;
};

Layer layer_of(Measure measure, const Matrix& x) {
  if (measure == Measure::svcca) return {{}, leading_directions(x, kept_variance)};
  Matrix gram = product_with_transposed(x, x);
  return {gram, prepared(measure, gram)};
}

double compared(Measure measure, const Matrix& a, const Matrix& b) { return measure == Measure::svcca ? mean_correlation(a, b) : alignment(a, b); }

/// Rows of a matrix, of a Gram matrix its columns too.
Matrix picked(Measure measure, const Matrix& a, std::span<const std::size_t> rows) {
  Matrix out(rows.size(), measure == Measure::svcca ? a.columns : rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < out.columns; ++c) out(r, c) = a(rows[r], measure == Measure::svcca ? c : rows[c]);
  }
  return out;
}

struct Interval {
  double low = std::nan(""), high = std::nan(""), control = 0.0;
};

/// Rows of texts drawn with replacement.
std::vector<std::size_t> drawn_rows(const RowChoice& choice, std::size_t texts, std::mt19937_64& random) {
  std::vector<std::size_t> rows;
  for (std::size_t t = 0; t < texts; ++t) {
    const std::size_t text = random() % texts;
    for (std::size_t i = 0; i < choice.rows.size(); ++i) {
      if (choice.sequence[i] == text) rows.push_back(i);
    }
  }
  return rows;
}

Interval interval_of(Measure measure, const Layer& a, const Layer& b, const RowChoice& choice, std::size_t draws) {
  Interval interval;
  std::mt19937_64 random(0);
  const std::size_t texts = choice.sequence.back() + 1;
  std::vector<double> values;
  for (std::size_t d = 0; d < draws && texts > 1 && measure != Measure::svcca; ++d) {
    const std::vector<std::size_t> rows = drawn_rows(choice, texts, random);
    if (rows.size() > 3)
      values.push_back(compared(measure, prepared(measure, picked(measure, a.gram, rows)), prepared(measure, picked(measure, b.gram, rows))));
  }
  std::ranges::sort(values);
  if (values.size() >= 40) {
    interval.low = values[values.size() / 40];
    interval.high = values[values.size() - 1 - values.size() / 40];
  }
  std::vector<std::size_t> order(choice.rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t s = 0; s < shuffles; ++s) {
    std::ranges::shuffle(order, random);
    interval.control += compared(measure, a.compared, picked(measure, b.compared, order)) / shuffles;
  }
  return interval;
}

std::vector<std::string> labels_of(std::span<const RecordedLayer> layers) {
  std::vector<std::string> labels;
  for (const RecordedLayer& layer : layers) labels.push_back(layer.label);
  return labels;
}

/// Read by one thread, made by all.
std::vector<Layer> layers_of(const AnalysisInput& input, Measure measure, const Recording& recording, std::span<const RecordedLayer> recorded,
                             const RowChoice& choice) {
  std::vector<Matrix> values;
  for (const RecordedLayer& layer : recorded) values.push_back(as_double(values_of(recording, layer, choice)));
  std::vector<Layer> layers(values.size());
  input.pool.run(values.size(), [&](std::size_t i, std::size_t) { layers[i] = layer_of(measure, values[i]); });
  return layers;
}

AnalysisResult run(const AnalysisInput& input) {
  const Recording &first = *input.recordings[0], &second = *input.recordings[1];
  require_same_texts(first, second);
  const std::string& word = input.options.choice("measure", {"cka", "cka_corrected", "svcca"});
  const Measure measure = word == "cka" ? Measure::cka : word == "svcca" ? Measure::svcca : Measure::cka_corrected;
  const FirstRows with = input.options.choice("first_rows", {"without", "with"}) == "with" ? FirstRows::with : FirstRows::without;
  const RowChoice choice = choose_rows(first, input.options.whole("rows", 4, 20000), with);
  if (choice.rows.size() < 4) throw Error({first.path().string(), "at least 4 rows", std::to_string(choice.rows.size()), "record longer texts"});
  const std::size_t draws = input.options.whole("draws", 0, 100000);
  const std::vector<RecordedLayer> rows = recorded_layers(first, input.options.text("point")),
                                   columns = recorded_layers(second, input.options.text("point"));
  const std::vector<Layer> left = layers_of(input, measure, first, rows, choice), right = layers_of(input, measure, second, columns, choice);
  std::vector<double> cells(rows.size() * columns.size());
  input.pool.run(cells.size(), [&](std::size_t i, std::size_t) {
    cells[i] = compared(measure, left[i / columns.size()].compared, right[i % columns.size()].compared);
  });
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < columns.size(); ++j) {
      if (rows[i].label == columns[j].label) pairs.emplace_back(i, j);
    }
  }
  std::vector<Interval> intervals(pairs.size());
  for (std::size_t begin = 0; begin < pairs.size(); begin += input.pool.threads()) {
    const std::size_t count = std::min(input.pool.threads(), pairs.size() - begin);
    input.pool.run(count, [&](std::size_t i, std::size_t) {
      const auto& [a, b] = pairs[begin + i];
      intervals[begin + i] = interval_of(measure, left[a], right[b], choice, draws);
    });
    input.run.step("similarity", begin + count, pairs.size());
  }
  AnalysisTable table{word + " of layers of one name, " + std::to_string(choice.rows.size()) + " rows",
                      {"layer", word, "low", "high", "rows shuffled (control)"},
                      {}};
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    table.rows.push_back({rows[pairs[p].first].label, cells[pairs[p].first * columns.size() + pairs[p].second], intervals[p].low, intervals[p].high,
                          intervals[p].control});
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {
      {word + " of all layers", "layer of the first", "layer of the second", "share", labels_of(rows), labels_of(columns), std::move(cells)}};
  result.notes = {"Intervals: percentiles (95%) of " + std::to_string(draws) + " bootstrap draws over " + std::to_string(first.sequences()) +
                      " texts; none for a single text, nor for svcca.",
                  "A bootstrap repeats rows, which raises similarities of few texts: the interval may lie above the value."};
  return result;
}

}  // namespace

const Analysis& analysis_similarity() {
  static constexpr AnalysisOption options[] = {{"measure", "cka, cka_corrected or svcca", "cka_corrected"},
                                               {"point", "resid (behind each layer), or a point: attn_out, mlp_out, z, ...", "resid"},
                                               {"rows", "at most so many rows, evenly", "500"},
                                               {"first_rows", "with or without the first row of each text", "without"},
                                               {"draws", "of the bootstrap", "200"}};
  static const Analysis analysis{"similarity",
                                 "CKA or SVCCA between the layers of two recordings of the same texts",
                                 "Kornblith et al. 2019, arXiv:1905.00414; Raghu et al. 2017, arXiv:1706.05806",
                                 "vitrine analyse similarity f32.h5 q4.h5 --svg pictures",
                                 AnalysisOf::recordings,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
