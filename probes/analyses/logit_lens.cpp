#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "core/model/unembed.h"
#include "probes/analysis.h"
#include "probes/captured_rows.h"
#include "probes/statistics/log_normalizer.h"
#include "probes/token_labels.h"
#include "probes/top_logits.h"

// What each layer would predict if it were the last (nostalgebraist 2020, "interpreting GPT: the logit lens"): the residual stream x_l
// behind block l goes through the model's own final norm, head transform, head and soft cap, p_l = softmax(head(norm(x_l))). Row by row:
//   KL = sum_v p_L(v) (ln p_L(v) - ln p_l(v)) in nats, to what the model says after the last layer L, which is 0 there;
//   ln p_l(next token), of a bidirectional model ln p_l(the token itself);
//   settling layer: the first layer from which on KL stays at or below `settled` nats.
// The rows behind the last block give the model's own logits, bit by bit under exact precision.

namespace vitrine {
namespace {

constexpr std::size_t band_rows = 64;  // whose final logits exist at once

/// What the lens says of every row of a text, [layers, rows] each.
struct LensRows {
  std::size_t rows = 0;
  std::vector<double> kl, log_probability;  // NaN where there is no next token
  std::vector<TokenId> top;                 // [layers, rows, tops]
  std::vector<double> top_probability;      // of the likeliest
  std::vector<double> rank;                 // of the next token, 1: the likeliest; NaN where there is none
  std::vector<double> settled;              // [rows] the settling layer's place among residual_points()
};

struct Lens {
  const AnalysisInput& input;
  std::vector<ProbePoint> points;
  std::size_t tops;
  double settled;
};

double divergence(std::span<const float> final, double final_sum, std::span<const float> other, double other_sum) {
  double kl = 0.0;
  for (std::size_t v = 0; v < final.size(); ++v) {
    const double log_p = final[v] - final_sum;
    kl += std::exp(log_p) * (log_p - (other[v] - other_sum));
  }
  return std::max(kl, 0.0);  // rounding alone goes below
}

/// 1 + how many tokens are likelier; the lower id first among equals, as largest_logits() has them.
double rank_of(std::span<const float> logits, std::size_t token) {
  std::size_t before = 0;
  for (std::size_t v = 0; v < logits.size(); ++v) before += logits[v] > logits[token] || (logits[v] == logits[token] && v < token) ? 1 : 0;
  return static_cast<double>(before + 1);
}

/// The token that a row's prediction is held against; none behind the last one.
std::optional<TokenId> predicted(const ModelSpec& spec, std::span<const TokenId> ids, std::size_t row) {
  if (!spec.causal()) return ids[row];
  return row + 1 < ids.size() ? std::optional(ids[row + 1]) : std::nullopt;
}

void read_band(const Lens& lens, const CapturedRows& captured, const ModelText& text, std::size_t first, LensRows& out) {
  const ModelRunner& runner = *lens.input.model;
  const ModelSpec& spec = runner.model.spec;
  const TapPlan taps;
  const ForwardContext context = runner.context(taps);
  const std::size_t count = std::min(band_rows, out.rows - first), layers = lens.points.size();
  const auto logits_at = [&](std::size_t layer) { return logits_of_residual(context, captured.at(lens.points[layer], 0).slice(first, count)); };
  const TensorView<float, 2> last = logits_at(layers - 1);
  const std::vector<float> final(last.data(), last.data() + count * spec.vocabulary);  // [rows, vocabulary]
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const TensorView<float, 2> logits = layer + 1 == layers ? TensorView<float, 2>(const_cast<float*>(final.data()), {count, spec.vocabulary}) : logits_at(layer);
    lens.input.pool.run(count, [&](std::size_t r, std::size_t) {
      const std::span<const float> own(&logits(r, 0), spec.vocabulary), after(&final[r * spec.vocabulary], spec.vocabulary);
      const double sum = log_normalizer(own);
      const std::size_t cell = layer * out.rows + first + r;
      out.kl[cell] = divergence(after, log_normalizer(after), own, sum);
      const std::optional<TokenId> token = predicted(spec, text.ids, first + r);
      out.log_probability[cell] = token ? own[static_cast<std::size_t>(*token)] - sum : std::nan("");
      out.rank[cell] = token ? rank_of(own, static_cast<std::size_t>(*token)) : std::nan("");
      std::vector<float> values(lens.tops);
      largest_logits(own, {&out.top[cell * lens.tops], lens.tops}, values);
      out.top_probability[cell] = std::exp(values.front() - sum);
    });
  }
}

LensRows read_text(const Lens& lens, const ModelText& text) {
  const ModelRunner& runner = *lens.input.model;
  const std::span<const ModelText> texts(&text, 1);
  CapturedRows captured(runner.model.spec, lens.points, texts);
  Observer* observers[] = {&captured};
  run_texts(runner, texts, observers, {});
  LensRows out{.rows = text.ids.size(), .kl = {}, .log_probability = {}, .top = {}, .top_probability = {}, .rank = {}, .settled = {}};
  const std::size_t layers = lens.points.size(), cells = layers * out.rows;
  out.kl.resize(cells);
  out.log_probability.resize(cells);
  out.top.resize(cells * lens.tops);
  out.top_probability.resize(cells);
  out.rank.resize(cells);
  for (std::size_t first = 0; first < out.rows; first += band_rows) {
    if (runner.run.cancelled()) throw Cancelled();
    read_band(lens, captured, text, first, out);
  }
  for (std::size_t r = 0; r < out.rows; ++r) {
    std::size_t layer = layers - 1;
    while (layer > 0 && out.kl[(layer - 1) * out.rows + r] <= lens.settled) --layer;
    out.settled.push_back(static_cast<double>(layer));
  }
  return out;
}

/// Rows of all texts together.
struct Pooled {
  std::vector<std::size_t> text;  // of each row: texts are what is resampled
  std::vector<double> settled;
  std::vector<std::vector<double>> kl, log_probability, agrees;  // [layers][rows]
};

void pool_rows(const Lens& lens, const LensRows& rows, std::size_t text, Pooled& pooled) {
  const std::size_t layers = lens.points.size();
  for (std::size_t r = 0; r < rows.rows; ++r) {
    pooled.text.push_back(text);
    pooled.settled.push_back(rows.settled[r]);
    const auto top = [&](std::size_t layer) { return rows.top[(layer * rows.rows + r) * lens.tops]; };
    for (std::size_t layer = 0; layer < layers; ++layer) {
      pooled.kl[layer].push_back(rows.kl[layer * rows.rows + r]);
      pooled.log_probability[layer].push_back(rows.log_probability[layer * rows.rows + r]);
      pooled.agrees[layer].push_back(top(layer) == top(layers - 1) ? 1.0 : 0.0);
    }
  }
}

/// The mean of what is defined; null where nothing is.
Json mean_of(std::span<const double> values) {
  double sum = 0.0, count = 0.0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    count += 1.0;
  }
  return count > 0.0 ? Json(sum / count) : Json();
}

AnalysisTable layer_table(const Lens& lens, const Pooled& pooled) {
  const ModelSpec& spec = lens.input.model->model.spec;
  AnalysisTable table{"each layer read as the last, means over " + std::to_string(pooled.text.size()) + " rows",
                      {"layer", "KL to final, nats", "KL low", "KL high", spec.causal() ? "log P of next token, nats" : "log P of the token, nats", "top token is the final one, share"}, {}};
  const std::vector<std::string> labels = residual_labels(spec);
  for (std::size_t layer = 0; layer < labels.size(); ++layer) {
    const Estimate kl = described_mean({"KL", "nats", "text"}, pooled.kl[layer], pooled.text);
    table.rows.push_back({labels[layer], mean_of(pooled.kl[layer]), kl.low, kl.high, mean_of(pooled.log_probability[layer]), mean_of(pooled.agrees[layer])});
  }
  return table;
}

/// The tokens that each layer holds likeliest at the last rows of the text that is shown.
AnalysisTable token_table(const Lens& lens, const LensRows& shown, const ModelText& text) {
  const Model& model = lens.input.model->model;
  const std::size_t columns = std::min<std::size_t>(lens.input.options.whole("positions", 1, 1000), shown.rows), first = shown.rows - columns;
  const std::vector<std::string> labels = residual_labels(model.spec), positions = position_labels(model, text.ids);
  AnalysisTable table{"likeliest token after each layer, by position", {"layer"}, {}};
  table.header.insert(table.header.end(), positions.begin() + static_cast<std::ptrdiff_t>(first), positions.end());
  for (std::size_t layer = 0; layer < labels.size(); ++layer) {
    std::vector<Json>& row = table.rows.emplace_back(std::vector<Json>{labels[layer]});
    for (std::size_t r = first; r < shown.rows; ++r) {
      std::string cell;
      for (std::size_t t = 0; t < lens.tops; ++t) cell += (t == 0 ? "" : " ") + token_label(model, shown.top[(layer * shown.rows + r) * lens.tops + t]);
      row.push_back(cell);
    }
  }
  std::vector<Json>& last = table.rows.emplace_back(std::vector<Json>{"settles at"});
  for (std::size_t r = first; r < shown.rows; ++r) last.push_back(labels[static_cast<std::size_t>(shown.settled[r])]);
  return table;
}

void require_lens(const ModelRunner& runner) {
  const std::string where = runner.model.path.filename().string();
  if (!runner.model.spec.has_head) throw Error({where, "a language-model head", "none", "a lens reads layers through it"});
  if (runner.model.spec.query_stream) throw Error({where, "rows that predict by themselves", "a query stream, which predicts", ""});
}

AnalysisResult run(const AnalysisInput& input) {
  require_lens(*input.model);
  const ModelSpec& spec = input.model->model.spec;
  const Lens lens{input, residual_points(spec), input.options.whole("top", 1, spec.vocabulary), input.options.number("settled", 0.0, 100.0)};
  const std::size_t shown_text = input.options.whole("text", 0, input.texts.size() - 1), layers = lens.points.size();
  Pooled pooled{.text = {}, .settled = {}, .kl = std::vector<std::vector<double>>(layers), .log_probability = std::vector<std::vector<double>>(layers), .agrees = std::vector<std::vector<double>>(layers)};
  LensRows shown;
  for (std::size_t t = 0; t < input.texts.size(); ++t) {
    if (input.texts[t].ids.empty()) throw Error({"text " + std::to_string(t), "at least one token", "none", ""});
    LensRows rows = read_text(lens, input.texts[t]);
    pool_rows(lens, rows, t, pooled);
    if (t == shown_text) shown = std::move(rows);
    input.run.step("logit_lens", t + 1, input.texts.size());
  }
  const ModelText& text = input.texts[shown_text];
  AnalysisResult result;
  result.tables = {layer_table(lens, pooled), token_table(lens, shown, text)};
  const std::vector<std::string> labels = residual_labels(spec), positions = position_labels(input.model->model, text.ids);
  result.grids = {{"KL to the final layer, text " + std::to_string(shown_text), "layer", "position", "nats", labels, positions, shown.kl},
                  {spec.causal() ? "log P of the next token" : "log P of the token", "layer", "position", "nats", labels, positions, shown.log_probability},
                  {"probability of the likeliest token", "layer", "position", "probability", labels, positions, shown.top_probability},
                  {spec.causal() ? "rank of the next token" : "rank of the token", "layer", "position", "rank, 1 is the likeliest", labels, positions, shown.rank}};
  Estimate settled = described_mean({"settling layer (0 = embed)", "layers", "text"}, pooled.settled, pooled.text);
  result.estimates.push_back(std::move(settled));
  result.notes = {"A lens asks what the final norm and head make of a layer, which was not trained to be read so; see tuned_lens."};
  return result;
}

}  // namespace

const Analysis& analysis_logit_lens() {
  static constexpr AnalysisOption options[] = {{"top", "likeliest tokens of a cell", "1"},
                                               {"text", "which text the pictures show, counted from 0", "0"},
                                               {"positions", "how many of its last positions the table shows", "8"},
                                               {"settled", "nats of KL to the final layer at which a row counts as settled", "0.5"}};
  static const Analysis analysis{"logit_lens", "what each layer would predict if it were the last",
                                 "nostalgebraist 2020, interpreting GPT: the logit lens", "vitrine analyse logit_lens MODEL --text \"The capital of France is\" --svg pictures",
                                 AnalysisOf::model_and_texts, options, run};
  return analysis;
}

}  // namespace vitrine
