#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/linear_model.h"
#include "probes/recorded_layers.h"
#include "probes/row_labels.h"

// Whether a property of tokens can be read off each layer by a linear model (Alain & Bengio 2016, arXiv:1610.01644): logistic regression for
// labels 0 and 1, ridge for numbers (probes/linear_model.h), numbers standardised by the training rows. Rows of a text are never on both
// sides: text s is tested in fold s mod k, the penalty is the one of {1, 10, 100, 1000} that is best on the texts of the next fold after
// training on the rest, and the model is then trained on all but the tested fold. Every row is so tested once.
// Control task (Hewitt & Liang 2019, arXiv:1909.03368): each token of the vocabulary gets a label at random, as often 1 as the real ones
// (numbers: a shuffle), which only memory of tokens can tell; selectivity is the real score less the control's. Beside both stands what the
// commoner label gives. Scores are accuracy, or for numbers 1 - squared error over variance. A probe that reads a property does not say
// that the model uses it.

namespace vitrine {
namespace {

constexpr std::array penalties{1000.0, 100.0, 10.0, 1.0};  // from the strongest: each fit starts at the last

struct Task {
  const RowLabels& rows;
  std::vector<double> labels;  // the real ones or those of the control
  std::size_t folds;
};

std::vector<double> control_labels(const RowLabels& rows) {
  std::vector<std::int32_t> tokens = rows.tokens;
  std::ranges::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  std::mt19937_64 random(0);
  const double share = std::accumulate(rows.labels.begin(), rows.labels.end(), 0.0) / static_cast<double>(rows.labels.size());
  std::vector<double> by_token;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    by_token.push_back(rows.binary ? (std::uniform_real_distribution<double>()(random) < share ? 1.0 : 0.0)
                                   : rows.labels[random() % rows.labels.size()]);
  }
  std::vector<double> labels;
  for (const std::int32_t token : rows.tokens)
    labels.push_back(by_token[static_cast<std::size_t>(std::ranges::lower_bound(tokens, token) - tokens.begin())]);
  return labels;
}

/// Rows with their labels, standardised as `like` says.
struct Rows {
  Matrix x;
  std::vector<double> y;
};

struct Scale {
  std::vector<double> mean, deviation;
};

Scale scale_of(const Matrix& x) {
  Scale scale{std::vector<double>(x.columns, 0.0), std::vector<double>(x.columns, 0.0)};
  const auto n = static_cast<double>(x.rows);
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) scale.mean[c] += x(r, c) / n;
  }
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) scale.deviation[c] += (x(r, c) - scale.mean[c]) * (x(r, c) - scale.mean[c]) / n;
  }
  for (double& deviation : scale.deviation) deviation = deviation > 0.0 ? std::sqrt(deviation) : 1.0;
  return scale;
}

template <typename In>
Rows rows_where(const FloatMatrix& values, const Task& task, const In& in) {
  Rows rows{Matrix(0, values.columns), {}};
  for (std::size_t r = 0; r < values.rows; ++r) {
    if (!in(task.rows.rows.sequence[r] % task.folds)) continue;
    rows.x.numbers.insert(rows.x.numbers.end(), &values(r, 0), &values(r, 0) + values.columns);
    ++rows.x.rows;
    rows.y.push_back(task.labels[r]);
  }
  return rows;
}

void standardise(Rows& rows, const Scale& scale) {
  for (std::size_t r = 0; r < rows.x.rows; ++r) {
    for (std::size_t c = 0; c < rows.x.columns; ++c) rows.x(r, c) = (rows.x(r, c) - scale.mean[c]) / scale.deviation[c];
  }
}

LinearModel fitted(const Task& task, const Rows& rows, double penalty, LinearModel start) {
  return task.rows.binary ? fit_logistic(rows.x, rows.y, penalty, std::move(start)) : fit_ridge(rows.x, rows.y, penalty);
}

double loss_of(const Task& task, const LinearModel& model, const Rows& rows) {
  double loss = 0.0;
  for (std::size_t r = 0; r < rows.x.rows; ++r) {
    const double z = model.at({&rows.x(r, 0), rows.x.columns});
    loss += task.rows.binary ? std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))) - rows.y[r] * z : (z - rows.y[r]) * (z - rows.y[r]);
  }
  return loss;
}

double chosen_penalty(const FloatMatrix& values, const Task& task, std::size_t fold) {
  const std::size_t next = (fold + 1) % task.folds;
  Rows training = rows_where(values, task, [&](std::size_t f) { return f != fold && f != next; }),
       checked = rows_where(values, task, [&](std::size_t f) { return f == next; });
  if (training.x.rows < 2 || checked.x.rows == 0) return penalties.front();
  const Scale scale = scale_of(training.x);
  standardise(training, scale);
  standardise(checked, scale);
  LinearModel model;
  double best = penalties.front(), least = std::numeric_limits<double>::infinity();
  for (const double penalty : penalties) {
    model = fitted(task, training, penalty, std::move(model));
    const double loss = loss_of(task, model, checked);
    if (loss >= least) continue;
    least = loss;
    best = penalty;
  }
  return best;
}

/// What each row adds to the score's mean: 1 for a right label, or 1 - squared error over the variance of all.  [rows]
std::vector<double> scores_of(const FloatMatrix& values, const Task& task) {
  const double n = static_cast<double>(task.labels.size()), mean = std::accumulate(task.labels.begin(), task.labels.end(), 0.0) / n;
  double variance = 0.0;
  for (const double label : task.labels) variance += (label - mean) * (label - mean) / n;
  std::vector<double> scores(values.rows);
  for (std::size_t fold = 0; fold < task.folds; ++fold) {
    Rows training = rows_where(values, task, [&](std::size_t f) { return f != fold; });
    if (training.x.rows < 2) continue;
    const double penalty = chosen_penalty(values, task, fold);
    const Scale scale = scale_of(training.x);
    standardise(training, scale);
    const LinearModel model = fitted(task, training, penalty, {});
    Rows tested = rows_where(values, task, [&](std::size_t f) { return f == fold; });
    standardise(tested, scale);
    std::size_t next = 0;
    for (std::size_t r = 0; r < values.rows; ++r) {
      if (task.rows.rows.sequence[r] % task.folds != fold) continue;
      const double z = model.at({&tested.x(next, 0), tested.x.columns}), y = tested.y[next++];
      scores[r] = task.rows.binary ? ((z > 0.0) == (y == 1.0) ? 1.0 : 0.0) : 1.0 - (z - y) * (z - y) / variance;
    }
  }
  return scores;
}

/// Of the commoner label, or of the mean.
double floor_of(const RowLabels& rows) {
  const double share = std::accumulate(rows.labels.begin(), rows.labels.end(), 0.0) / static_cast<double>(rows.labels.size());
  return rows.binary ? std::max(share, 1.0 - share) : 0.0;
}

void require_labels(const Recording& recording, const RowLabels& rows, std::size_t folds) {
  const std::string where = recording.path().string();
  if (recording.sequences() < folds)
    throw Error({where, "at least as many texts as folds (" + std::to_string(folds) + ")", std::to_string(recording.sequences()),
                 "record more texts (--lines) or give --set folds=N"});
  if (rows.labels.empty() || std::ranges::all_of(rows.labels, [&](double label) { return label == rows.labels.front(); })) {
    throw Error({where, "rows with different labels", rows.labels.empty() ? "no rows" : "one label everywhere", "choose another --set label"});
  }
}

AnalysisResult run(const AnalysisInput& input) {
  const Recording& recording = *input.recordings.front();
  const std::size_t folds = input.options.whole("folds", 3, 100);
  const RowLabels rows = read_labels(recording, input.options.text("label"), input.options.whole("rows", 10, 1000000));
  require_labels(recording, rows, folds);
  const std::vector<RecordedLayer> layers = recorded_layers(recording, input.options.text("point"));
  const Task real{rows, rows.labels, folds}, control{rows, control_labels(rows), folds};
  std::vector<FloatMatrix> values;
  for (const RecordedLayer& layer : layers) values.push_back(values_of(recording, layer, rows.rows));
  std::vector<std::vector<double>> scores(layers.size()), control_scores(layers.size());
  for (std::size_t begin = 0; begin < layers.size(); begin += input.pool.threads()) {
    const std::size_t count = std::min(input.pool.threads(), layers.size() - begin);
    input.pool.run(2 * count, [&](std::size_t i, std::size_t) {
      const std::size_t layer = begin + i / 2;
      (i % 2 == 0 ? scores : control_scores)[layer] = scores_of(values[layer], i % 2 == 0 ? real : control);
    });
    input.run.step("linear_probe", begin + count, layers.size());
  }
  const std::string unit = rows.binary ? "accuracy" : "R2";
  AnalysisTable table{
      input.options.text("label") + " off " + std::to_string(rows.labels.size()) + " rows of " + std::to_string(recording.sequences()) + " texts",
      {"layer", unit, "low", "high", "commoner label", "control task", "selectivity", "selectivity low", "selectivity high"},
      {}};
  if (!rows.binary) table.header[4] = "mean";
  std::vector<std::string> labels;
  std::vector<double> cells;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    std::vector<double> selectivity = scores[l];
    for (std::size_t r = 0; r < selectivity.size(); ++r) selectivity[r] -= control_scores[l][r];
    const Estimate score = described_mean({unit, unit, "text"}, scores[l], rows.rows.sequence),
                   chosen = described_mean({"selectivity", unit, "text"}, selectivity, rows.rows.sequence);
    table.rows.push_back(
        {layers[l].label, score.value, score.low, score.high, floor_of(rows), score.value - chosen.value, chosen.value, chosen.low, chosen.high});
    labels.push_back(layers[l].label);
    cells.insert(cells.end(), {score.value, score.value - chosen.value, chosen.value});
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {{"probe of " + input.options.text("label"),
                   "layer",
                   "score",
                   unit,
                   std::move(labels),
                   {"probe", "control task", "selectivity"},
                   std::move(cells)}};
  result.notes = {"What can be read off a layer need not be what the model uses."};
  return result;
}

}  // namespace

const Analysis& analysis_linear_probe() {
  static constexpr AnalysisOption options[] = {
      {"label", "capital, digit, punctuation, next_punctuation, word_start, even_position, or a .csv file of sequence,position,label", "capital"},
      {"point", "resid (behind each layer), or a point: attn_out, mlp_out, z, ...", "resid"},
      {"folds", "of the cross-validation, by texts", "4"},
      {"rows", "at most so many rows, evenly", "1000"}};
  static const Analysis analysis{"linear_probe",
                                 "whether a property of tokens can be read off each layer, with a control task",
                                 "Alain & Bengio 2016, arXiv:1610.01644; Hewitt & Liang 2019, arXiv:1909.03368",
                                 "vitrine analyse linear_probe run.h5 --set label=next_punctuation",
                                 AnalysisOf::recording,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
