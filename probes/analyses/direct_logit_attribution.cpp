#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/captured_rows.h"
#include "probes/logit_direction.h"
#include "probes/token_labels.h"
#include "probes/top_logits.h"
#include "probes/weight_algebra.h"

// What each part of a model adds to a logit, or to the difference of two, by itself (nostalgebraist 2020; Elhage et al. 2021). The
// residual stream is a sum of the embedding and of what every module adds, the last step to a logit is linear but for the scale s of the
// final norm. With s as it was in the run (frozen) a vector x of the stream adds x . d, where for the row u of the head
//   d = c C (g * T^T u) / s       g the norm's gain, T a linear transform of the head, c its scale, C = I - 11^T / n where the norm centres
// and the norm's and head's biases stand apart. All parts sum to the logit before a soft cap. A module's bias is shared out to no head and
// no neuron: z_h W_O^h of each head and post_n W_down^n of each neuron, with what stands between (the norm of a module's output, its scale
// frozen too), sum to the module's part less the row `bias` of its layer. Direct effects alone: what later modules make of a part is theirs.

namespace vitrine {
namespace {

/// A linear view of a text's last step at one row.
struct Attribution {
  std::vector<double> direction;  // [width] of the residual stream
  double constant = 0.0;          // biases of the norm and of the head
  double logit = 0.0;             // what the model said (before a soft cap), target less against
  LogitTarget target;
};

/// One part of the sum.
struct Part {
  std::string name;
  double value = 0.0;
};

struct Parts {
  std::vector<Part> layers, heads, neurons;  // modules with embed and biases; the others of attention and MLPs
};

using Point = ProbePoint;

std::vector<double> doubles(TensorView<const float, 2> rows, std::size_t row) { return {&rows(row, 0), &rows(row, 0) + rows.extent(1)}; }

/// One text's captured values at the row that is asked about.
struct Captured {
  const CapturedRows& rows;
  const Model& model;
  std::size_t row = 0;

  std::vector<double> at(Site site, int block, AttentionRole role = AttentionRole::self) const {
    return doubles(rows.at({.stack = model.spec.stack, .role = role, .block = block, .site = site}, 0), row);
  }
};

std::vector<Point> points_of(const ModelSpec& spec) {
  std::vector<Point> points;
  for (const Point& point : all_points(spec)) {
    if (point.stack == Stack::encoder || point.stream == Stream::query) continue;
    switch (point.site) {
      case Site::attn_out:
      case Site::mlp_out:
      case Site::z:
      case Site::mlp_post:
      case Site::ln1_post_scale:
      case Site::ln2_post_scale:
        points.push_back(point);
        break;
      case Site::resid_pre:
        if (point.block == 0) points.push_back(point);
        break;
      case Site::resid_post:
        if (point.block + 1 == static_cast<int>(spec.blocks.size())) points.push_back(point);
        break;
      default:
        break;
    }
  }
  return points;
}

Attribution attribution_of(const Captured& captured, const LogitTarget& target) {
  LogitDirection of = logit_direction(captured.model, target, captured.at(Site::resid_post, static_cast<int>(captured.model.spec.blocks.size()) - 1));
  return {.direction = std::move(of.direction), .constant = of.constant, .target = target};
}

/// A module whose output is W x + b: attention from its heads' z, an MLP from its neurons.
struct Module {
  Role role;
  Role post_norm;
  Site input, post_scale;
  AttentionRole of = AttentionRole::self;
  std::string name;      // "L3H" or "L3N" before a unit's number
  std::size_t unit = 1;  // numbers of the input that make a unit
};

/// Parts of a module's units; returns what its biases add.
double units_of(const Captured& captured, const Module& module, int block, std::span<const double> direction, std::vector<Part>& parts) {
  const Model& model = captured.model;
  const BlockSpec& spec = model.spec.blocks[static_cast<std::size_t>(block)];
  std::vector<double> inner(direction.begin(), direction.end());
  double constant = 0.0;
  if (spec.placement == NormPlacement::sandwich) {
    if (const Weight* bias = weight_or_null(model, module.post_norm, block, true)) constant += dot(vector_or(bias, inner.size(), 0.0), inner);
    inner = through_norm({weight_or_null(model, module.post_norm, block, false), nullptr, spec.norm, captured.at(module.post_scale, block).front()}, inner);
  }
  if (const Weight* bias = weight_or_null(model, module.role, block, true)) constant += dot(vector_or(bias, inner.size(), 0.0), inner);
  const std::vector<double> per_input = times_transposed(*weight_or_null(model, module.role, block, false), inner),
                            x = captured.at(module.input, block, module.of);
  for (std::size_t u = 0; u < x.size() / module.unit; ++u) {
    double value = 0.0;
    for (std::size_t i = u * module.unit; i < (u + 1) * module.unit; ++i) value += x[i] * per_input[i];
    parts.push_back({module.name + std::to_string(u), value});
  }
  return constant;
}

Parts parts_of(const Captured& captured, const Attribution& attribution) {
  const ModelSpec& spec = captured.model.spec;
  Parts parts;
  const auto share = [&](const std::vector<double>& x) { return dot(x, attribution.direction); };
  parts.layers.push_back({"biases of norm and head", attribution.constant});
  parts.layers.push_back({"embed", share(captured.at(Site::resid_pre, 0))});
  for (int block = 0; block < static_cast<int>(spec.blocks.size()); ++block) {
    const BlockSpec& described = spec.blocks[static_cast<std::size_t>(block)];
    const std::string number = std::to_string(block);
    parts.layers.push_back({number + "_attn_out", share(captured.at(Site::attn_out, block))});
    double bias = units_of(
        captured,
        {Role::attn_out, Role::attn_post_norm, Site::z, Site::ln1_post_scale, AttentionRole::self, "L" + number + "H", described.attention.head_dim},
        block, attribution.direction, parts.heads);
    parts.heads.push_back({"L" + number + " bias", bias});
    if (described.cross) {
      parts.layers.push_back({number + "_cross_attn_out", share(captured.at(Site::attn_out, block, AttentionRole::cross))});
      bias = units_of(captured,
                      {Role::cross_out, Role::attn_post_norm, Site::z, Site::ln1_post_scale, AttentionRole::cross, "L" + number + " cross H",
                       described.cross->head_dim},
                      block, attribution.direction, parts.heads);
      parts.heads.push_back({"L" + number + " cross bias", bias});
    }
    parts.layers.push_back({number + "_mlp_out", share(captured.at(Site::mlp_out, block))});
    if (described.mlp.experts > 0) continue;  // which neurons a row has differs from row to row
    bias = units_of(captured, {Role::mlp_down, Role::mlp_post_norm, Site::mlp_post, Site::ln2_post_scale, AttentionRole::self, "L" + number + "N", 1},
                    block, attribution.direction, parts.neurons);
    parts.neurons.push_back({"L" + number + " bias", bias});
  }
  return parts;
}

TokenId likeliest(std::span<const float> logits) {
  std::int32_t id = 0;
  float value = 0.0f;
  largest_logits(logits, {&id, 1}, {&value, 1});
  return id;
}

struct TextParts {
  Parts parts;
  Attribution attribution;
};

TextParts attribute(const AnalysisInput& input, const ModelText& text) {
  const Model& model = input.model->model;
  const std::string& where = input.options.text("position");
  const std::size_t row = where == "last" ? text.ids.size() - 1 : input.options.whole("position", 0, text.ids.size() - 1);
  CapturedRows rows(model.spec, points_of(model.spec), {&text, 1});
  std::vector<float> logits;
  const ForwardSinks sinks{
      .logit_rows = LogitRows::wanted,
      .wants_logits = [&](const RowRef& at) { return at.position == row; },
      .logits = [&](std::span<const RowRef>, TensorView<float, 2> shown) { logits.assign(&shown(0, 0), &shown(0, 0) + shown.extent(1)); }};
  Observer* observers[] = {&rows};
  run_texts(*input.model, {&text, 1}, observers, sinks);
  const std::string &target = input.options.text("target"), &against = input.options.text("against");
  const Captured captured{rows, model, row};
  LogitTarget asked{likeliest(logits), std::nullopt};
  if (target == "next" && (!model.spec.causal() || row + 1 >= text.ids.size())) {
    throw Error({"--set target=next", "a position before the last of a text that is read from left to right", where, "give --set position=N"},
                Fault::usage);
  }
  if (target == "next")
    asked.token = text.ids[row + 1];
  else if (target != "top")
    asked.token = token_of(model, "target", target);
  if (!against.empty()) asked.against = token_of(model, "against", against);
  Attribution attribution = attribution_of(captured, asked);
  Parts parts = parts_of(captured, attribution);
  const float cap = model.spec.logit_soft_cap;
  const auto logit_of = [&](TokenId id) {
    const double said = logits[static_cast<std::size_t>(id)];
    return cap > 0.0f ? cap * std::atanh(said / cap) : said;
  };
  attribution.logit = logit_of(asked.token) - (asked.against ? logit_of(*asked.against) : 0.0);
  return {std::move(parts), std::move(attribution)};
}

/// The same part of every text, [texts].
std::vector<double> values_of(std::span<const TextParts> texts, std::vector<Part> Parts::*list, std::size_t index) {
  std::vector<double> values;
  for (const TextParts& text : texts) values.push_back((text.parts.*list)[index].value);
  return values;
}

std::vector<Json> row_of_part(const std::string& name, const std::vector<double>& values) {
  const Estimate mean = described_mean({name, "logit", "text"}, values, {});
  const double sum = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (values.size() < 2) return {name, sum};
  return {name, sum, mean.low, mean.high};
}

AnalysisTable table_of(std::string title, std::span<const TextParts> texts, std::vector<Part> Parts::*list, std::size_t top) {
  const std::vector<Part>& names = texts.front().parts.*list;
  std::vector<std::vector<Json>> rows;
  for (std::size_t i = 0; i < names.size(); ++i) rows.push_back(row_of_part(names[i].name, values_of(texts, list, i)));
  if (top > 0) {
    std::ranges::stable_sort(rows, [](const auto& a, const auto& b) { return std::abs(a[1].number()) > std::abs(b[1].number()); });
    rows.resize(std::min(top, rows.size()));
  }
  AnalysisTable table{std::move(title), {"part", "logit"}, std::move(rows)};
  if (texts.size() > 1) table.header.insert(table.header.end(), {"low", "high"});
  return table;
}

AnalysisGrid grid_of_heads(const ModelSpec& spec, std::span<const TextParts> texts) {
  std::size_t most = 0;
  for (const BlockSpec& block : spec.blocks) most = std::max(most, block.attention.heads);
  std::vector<double> values(spec.blocks.size() * most, std::nan(""));
  const std::vector<Part>& names = texts.front().parts.heads;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::size_t layer = 0, head = 0;
    if (std::sscanf(names[i].name.c_str(), "L%zuH%zu", &layer, &head) != 2) continue;
    double& cell = values[layer * most + head] = 0.0;
    for (const TextParts& text : texts) cell += text.parts.heads[i].value / static_cast<double>(texts.size());
  }
  return head_grid("direct part of each head", "logit", most, std::move(values));
}

AnalysisTable sums_of(const Model& model, std::span<const TextParts> texts) {
  AnalysisTable table{"what the parts sum to", {"text", "target", "logit", "sum of parts", "off"}, {}};
  for (std::size_t t = 0; t < texts.size(); ++t) {
    const Attribution& attribution = texts[t].attribution;
    double sum = 0.0;
    for (const Part& part : texts[t].parts.layers) sum += part.value;
    const std::string target =
        token_label(model, attribution.target.token) + (attribution.target.against ? " less " + token_label(model, *attribution.target.against) : "");
    table.rows.push_back({static_cast<std::uint64_t>(t), target, attribution.logit, sum, attribution.logit - sum});
  }
  return table;
}

/// Every part of a list with its value in each text, for --json.
Json list_of(std::span<const TextParts> texts, std::vector<Part> Parts::*list) {
  Json parts = Json::array();
  for (std::size_t i = 0; i < (texts.front().parts.*list).size(); ++i) {
    Json values = Json::array();
    for (const double value : values_of(texts, list, i)) values.push(value);
    parts.push(Json::object().set("part", (texts.front().parts.*list)[i].name).set("logit", values));
  }
  return parts;
}

AnalysisResult run(const AnalysisInput& input) {
  const Model& model = input.model->model;
  require_linear_head(model);
  const std::size_t top = input.options.whole("top", 1, 1000000);
  std::vector<TextParts> texts;
  for (const ModelText& text : input.texts) {
    if (text.ids.empty()) throw Error({"text " + std::to_string(texts.size()), "at least one token", "none", ""});
    texts.push_back(attribute(input, text));
    input.run.step("direct_logit_attribution", texts.size(), input.texts.size());
  }
  AnalysisResult result;
  const std::string mean = texts.size() > 1 ? ", means over texts" : "";
  result.tables = {sums_of(model, texts), table_of("by module" + mean, texts, &Parts::layers, 0),
                   table_of("largest heads" + mean, texts, &Parts::heads, top)};
  if (!texts.front().parts.neurons.empty()) result.tables.push_back(table_of("largest neurons" + mean, texts, &Parts::neurons, top));
  result.grids = {grid_of_heads(model.spec, texts)};
  result.notes = {"Direct parts alone, with the scales of norms as they were; parts of a large list that were picked for their size regress."};
  if (model.spec.logit_soft_cap > 0.0f) result.notes.push_back("Logits are those before the soft cap.");
  if (texts.front().parts.neurons.empty()) result.notes.push_back("No neurons: rows of this model choose experts.");
  result.extra = Json::object()
                     .set("modules", list_of(texts, &Parts::layers))
                     .set("heads", list_of(texts, &Parts::heads))
                     .set("neurons", list_of(texts, &Parts::neurons));
  return result;
}

}  // namespace

const Analysis& analysis_direct_logit_attribution() {
  static constexpr AnalysisOption options[] = {
      {"target", "whose logit: a token as text or #id, `top` = the likeliest, `next` = the text's own", "top"},
      {"against", "a token whose logit is taken off; empty: none", ""},
      {"position", "of the row, counted from 0, or last", "last"},
      {"top", "heads and neurons in the tables", "10"}};
  static const Analysis analysis{
      "direct_logit_attribution",
      "what layers, heads and neurons add to a logit, or to the difference of two",
      "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
      "vitrine analyse direct_logit_attribution MODEL --text \"The capital of France is\" --set \"target= Paris\" --set \"against= London\"",
      AnalysisOf::model_and_texts,
      options,
      run};
  return analysis;
}

}  // namespace vitrine
