#include "probes/tuned_lens.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/adam.h"
#include "probes/analysis.h"
#include "probes/captured_rows.h"
#include "probes/lens_gradient.h"

// A lens whose layers are first translated by affine maps that learned the last layer's language (Belrose et al. 2023, arXiv:2303.08112):
// p_l = softmax(head(norm(h_l + W_l h_l + b_l))), fitted to the least KL(p_L || p_l) over rows, where p_L is what the model says. W and b
// begin at the closed form of least squares to the last residual stream (probes/tuned_lens.h) and go on by Adam in `steps` batches with the
// gradient d x of the KL itself (probes/lens_gradient.h): d W = d x h^T, d b = d x.
// Fitted on the even texts, measured on the odd ones beside the plain lens; `file` reads a lens instead, measured on all texts. `steps=0`
// is the closed form alone. Heads with a transform are read, but only the closed form is fitted to them.

namespace vitrine {
namespace {

constexpr std::size_t band_rows = 64;

struct Context {
  const AnalysisInput& input;
  std::vector<ProbePoint> points;
  const CapturedRows& captured;
  Weight head_transposed;  // [width, vocabulary]; empty where no gradient is asked for
};

FloatMatrix rows_of(const CapturedRows& captured, const ProbePoint& point, std::span<const std::size_t> rows) {
  const TensorView<const float, 2> all = captured.at(point);
  FloatMatrix out(rows.size(), all.extent(1));
  for (std::size_t r = 0; r < rows.size(); ++r) std::copy_n(&all(rows[r], 0), out.columns, &out(r, 0));
  return out;
}

/// Logits of residual rows.
FloatMatrix logits_of(const Context& context, const FloatMatrix& rows) { return lens_logits(*context.input.model, rows); }

/// Adam from the closed form; a step's batch are rows drawn evenly at random.
void descend(const Context& context, std::size_t layer, std::span<const std::size_t> rows, TunedLens& lens) {
  const AnalysisOptions& options = context.input.options;
  const std::size_t steps = options.whole("steps", 0, 1000000), batch = std::min(options.whole("batch", 1, 512), rows.size());
  const double rate = options.number("rate", 0.0, 1.0);
  TunedLens::Translator& translator = lens.layers[layer];
  Adam weight(translator.weight.numbers.size()), bias(translator.bias.size());
  std::mt19937_64 random(layer);
  for (std::size_t step = 0; step < steps; ++step) {
    if (context.input.run.cancelled()) throw Cancelled();
    std::vector<std::size_t> drawn(batch);
    for (std::size_t& row : drawn) row = rows[random() % rows.size()];
    const FloatMatrix h = rows_of(context.captured, context.points[layer], drawn),
                      final = logits_of(context, rows_of(context.captured, context.points.back(), drawn));
    const FloatMatrix back = lens_gradient(*context.input.model, context.head_transposed, lens.translated(layer, h), final),
                      by_weight = product_of_transposed(back, h);
    std::vector<float> by_bias(back.columns, 0.0f);
    for (std::size_t i = 0; i < back.numbers.size(); ++i) by_bias[i % back.columns] += back.numbers[i];
    const double left = rate * (1.0 - static_cast<double>(step) / static_cast<double>(steps));
    weight.step(by_weight.numbers, left, translator.weight.numbers);
    bias.step(by_bias, left, translator.bias);
  }
}

TunedLens fitted(const Context& context, std::span<const std::size_t> rows) {
  TunedLens lens;
  const double penalty = context.input.options.number("penalty", 0.0, 1e9);
  const FloatMatrix last = rows_of(context.captured, context.points.back(), rows);
  const bool goes_on = context.head_transposed.data != nullptr;
  for (std::size_t layer = 0; layer + 1 < context.points.size(); ++layer) {
    lens.layers.push_back(fit_translator(rows_of(context.captured, context.points[layer], rows), last, penalty));
    if (goes_on) descend(context, layer, rows, lens);
    context.input.run.step("tuned_lens: fit", layer + 1, context.points.size() - 1);
  }
  return lens;
}

/// KL of each row at each layer, plain and translated.  [layers][rows]
struct Measured {
  std::vector<std::vector<double>> plain, tuned;
};

Measured measured(const Context& context, const TunedLens& lens, std::span<const std::size_t> rows) {
  Measured result;
  result.plain.resize(lens.layers.size());
  result.tuned.resize(lens.layers.size());
  for (std::size_t first = 0; first < rows.size(); first += band_rows) {
    const std::span<const std::size_t> band = rows.subspan(first, std::min(band_rows, rows.size() - first));
    const FloatMatrix final = logits_of(context, rows_of(context.captured, context.points.back(), band));
    for (std::size_t layer = 0; layer < lens.layers.size(); ++layer) {
      const FloatMatrix h = rows_of(context.captured, context.points[layer], band);
      for (const double kl : divergences(context.input.pool, final, logits_of(context, h))) result.plain[layer].push_back(kl);
      for (const double kl : divergences(context.input.pool, final, logits_of(context, lens.translated(layer, h)))) result.tuned[layer].push_back(kl);
    }
    context.input.run.step("tuned_lens: measure", first + band.size(), rows.size());
  }
  return result;
}

/// Rows of the texts of one kind, and the text of each.
struct Chosen {
  std::vector<std::size_t> rows, text;
};
enum class Texts { all, even, odd };

Chosen rows_where(std::span<const ModelText> texts, Texts which) {
  Chosen chosen;
  std::size_t row = 0;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    for (std::size_t i = 0; i < texts[t].ids.size(); ++i, ++row) {
      if (which != Texts::all && (t % 2 == 0) != (which == Texts::even)) continue;
      chosen.rows.push_back(row);
      chosen.text.push_back(t);
    }
  }
  return chosen;
}

void require_lens(const AnalysisInput& input, bool reads) {
  const ModelSpec& spec = input.model->model.spec;
  const std::string where = input.model->model.path.filename().string();
  if (!spec.has_head) throw Error({where, "a language-model head", "none", "a lens reads layers through it"});
  if (spec.query_stream) throw Error({where, "rows that predict by themselves", "a query stream, which predicts", ""});
  if (!reads && input.texts.size() < 2)
    throw Error({"tuned_lens", "two texts or more, half of them to measure the lens", "one", "give --lines"}, Fault::usage);
  if (reads && !input.options.text("out").empty())
    throw Error({"--set out", "a lens that is fitted here", "one that was read (file)", ""}, Fault::usage);
}

AnalysisResult run(const AnalysisInput& input) {
  const Model& model = input.model->model;
  const std::string& file = input.options.text("file");
  require_lens(input, !file.empty());
  const std::size_t steps = input.options.whole("steps", 0, 1000000);
  const bool goes_on = file.empty() && steps > 0 && !model.spec.head_transform;
  const std::vector<ProbePoint> points = residual_points(model.spec);
  CapturedRows captured(model.spec, points, input.texts);
  Observer* observers[] = {&captured};
  run_texts(*input.model, input.texts, observers, {});
  const Context context{input, points, captured, goes_on ? transposed_head(model) : Weight{}};
  const Chosen fit = rows_where(input.texts, Texts::even), tested = rows_where(input.texts, file.empty() ? Texts::odd : Texts::all);
  const TunedLens lens = file.empty() ? fitted(context, fit.rows) : read_tuned_lens(file, points.size() - 1, model.spec.width);
  if (!input.options.text("out").empty()) write_tuned_lens(lens, input.options.text("out"));
  const Measured kl = measured(context, lens, tested.rows);
  AnalysisTable table{
      "KL to the final layer, nats, means over " + std::to_string(tested.rows.size()) + " rows" + (file.empty() ? " that were not fitted" : ""),
      {"layer", "logit lens", "tuned lens", "low", "high", "change", "change low", "change high"},
      {}};
  const std::vector<std::string> labels = residual_labels(model.spec);
  std::vector<double> cells;
  for (std::size_t layer = 0; layer < lens.layers.size(); ++layer) {
    std::vector<double> change = kl.tuned[layer];
    for (std::size_t r = 0; r < change.size(); ++r) change[r] -= kl.plain[layer][r];
    const auto mean = [](const std::vector<double>& values) {
      return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    };
    const Estimate tuned = described_mean({"KL", "nats", "text"}, kl.tuned[layer], tested.text),
                   changed = described_mean({"change", "nats", "text"}, change, tested.text);
    table.rows.push_back(
        {labels[layer], mean(kl.plain[layer]), mean(kl.tuned[layer]), tuned.low, tuned.high, mean(change), changed.low, changed.high});
    cells.insert(cells.end(), {mean(kl.plain[layer]), mean(kl.tuned[layer])});
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {
      {"KL to the final layer", "layer", "lens", "nats", {labels.begin(), labels.end() - 1}, {"logit lens", "tuned lens"}, std::move(cells)}};
  if (file.empty())
    result.notes.push_back("Fitted on " + std::to_string(fit.rows.size()) + " rows of the even texts" +
                           (goes_on ? ", then " + std::to_string(steps) + " steps of Adam a layer." : ", in closed form."));
  if (fit.rows.size() < model.spec.width && file.empty()) result.notes.push_back("Fewer rows than numbers in a row: give more text.");
  return result;
}

}  // namespace

const Analysis& analysis_tuned_lens() {
  static constexpr AnalysisOption options[] = {{"file", "a lens to read; empty: one is fitted", ""},
                                               {"out", "a safetensors file for the lens that is fitted; empty: none", ""},
                                               {"penalty", "of the closed form, as a share of the mean squared number", "0.1"},
                                               {"steps", "of Adam, a layer; 0: the closed form alone", "50"},
                                               {"batch", "rows of a step", "64"},
                                               {"rate", "of Adam, falling to 0", "0.0003"}};
  static const Analysis analysis{"tuned_lens",
                                 "a lens whose layers are translated into the last one's language",
                                 "Belrose et al. 2023, arXiv:2303.08112",
                                 "vitrine analyse tuned_lens MODEL --lines texts.txt --set out=lens.safetensors",
                                 AnalysisOf::model_and_texts,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
