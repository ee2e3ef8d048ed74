#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/logit_direction.h"
#include "probes/patching/point_values.h"
#include "probes/token_labels.h"
#include "probes/weight_algebra.h"

// Heads that take a name from where it stands to the logit (Wang et al. 2022, arXiv:2211.00593, "name movers"): of a head at the row p that is
// asked and a name at the row n
//   moved = A[p, n] * (v_n W_O) . d
// where A is the head's pattern, v_n its value of the name's row and d the direction of the name's logit (less that of `against`) with the
// scale of the final norm frozen (probes/logit_direction.h). Over all keys n it sums to the head's direct part of
// direct_logit_attribution, less biases. A head is
//   a name mover           where moved is above `threshold` times the size of the logit (difference),
//   a negative name mover  where it is below minus that,
//   a backup name mover    where it comes above once the z of all name movers at p is 0, and was not before.
// The published heads were found by path patching; this names heads by what they do directly. Silencing is by zeros, not by means.

namespace vitrine {
namespace {

struct Question {
  std::size_t row, name;
  LogitTarget target;
};

/// What one head does with the name.
struct Moved {
  double attention = 0.0, moved = 0.0;
};

/// Silences heads at one row.
class SilentAt : public Observer {
 public:
  SilentAt(std::span<const bool> silent, std::size_t most, std::size_t row) : silent_(silent), most_(most), row_(row) {}
  Access access(const ProbePoint& point) const override {
    return point.site == Site::z && point.role == AttentionRole::self && point.stack != Stack::encoder ? Access::write : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t h = 0; rows[r].position == row_ && h < values.extent(1); ++h) {
        if (silent_[static_cast<std::size_t>(point.block) * most_ + h]) std::fill_n(&values(r, h, 0), values.extent(2), 0.0f);
      }
    }
  }

 private:
  std::span<const bool> silent_;
  std::size_t most_, row_;
};

std::size_t most_heads(const ModelSpec& spec) {
  std::size_t most = 0;
  for (const BlockSpec& block : spec.blocks) most = std::max(most, block.attention.heads);
  return most;
}

ProbePoint at(const ModelSpec& spec, std::size_t block, Site site) { return {.stack = spec.stack, .block = static_cast<int>(block), .site = site}; }

std::vector<double> doubles(std::span<const float> row) { return {row.begin(), row.end()}; }

/// One run of a text with what the definition needs of it.
struct Seen {
  PointValues values;
  std::vector<float> logits;
};

Seen look(const ModelRunner& runner, const ModelText& text, std::size_t row, Observer* silent) {
  const ModelSpec& spec = runner.model.spec;
  std::vector<ProbePoint> points{at(spec, spec.blocks.size() - 1, Site::resid_post)};
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) {
    points.push_back(at(spec, block, Site::pattern));
    points.push_back(at(spec, block, Site::v));
    if (spec.blocks[block].placement == NormPlacement::sandwich) points.push_back(at(spec, block, Site::ln1_post_scale));
  }
  Seen seen{PointValues(points), {}};
  std::vector<Observer*> observers{&seen.values};
  if (silent) observers.push_back(silent);
  ForwardSinks sinks{.logit_rows = LogitRows::wanted, .wants_logits = [row](const RowRef& at) { return at.position == row; }};
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) { seen.logits.assign(&logits(0, 0), &logits(0, 0) + logits.extent(1)); };
  run_texts(runner, {&text, 1}, observers, sinks);
  return seen;
}

/// [layers, most heads]
std::vector<Moved> moved_by_heads(const Model& model, const Seen& seen, const Question& question) {
  const ModelSpec& spec = model.spec;
  const std::size_t most = most_heads(spec);
  const LogitDirection logit = logit_direction(model, question.target, doubles(seen.values.row(at(spec, spec.blocks.size() - 1, Site::resid_post), question.row)));
  std::vector<Moved> all(spec.blocks.size() * most);
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) {
    const BlockSpec& described = spec.blocks[block];
    const int index = static_cast<int>(block);
    std::vector<double> direction = logit.direction;
    if (described.placement == NormPlacement::sandwich) {
      const double scale = seen.values.row(at(spec, block, Site::ln1_post_scale), question.row).front();
      direction = through_norm({weight_or_null(model, Role::attn_post_norm, index, false), nullptr, described.norm, scale}, std::move(direction));
    }
    const std::vector<double> of_z = times_transposed(*weight_or_null(model, Role::attn_out, index, false), direction);  // [heads * head_dim]
    const std::size_t heads = described.attention.heads, dim = of_z.size() / heads, group = heads / seen.values.heads(at(spec, block, Site::v));
    for (std::size_t head = 0; head < heads; ++head) {
      const std::span<const float> value = seen.values.row(at(spec, block, Site::v), question.name, head / group);
      Moved& of = all[block * most + head];
      of.attention = seen.values.row(at(spec, block, Site::pattern), question.row, head)[question.name];
      of.moved = of.attention * dot(doubles(value), std::span(of_z).subspan(head * dim, dim));
    }
  }
  return all;
}

Question question_of(const AnalysisInput& input, const ModelText& text, std::span<const float> logits, std::size_t row) {
  const Model& model = input.model->model;
  const AnalysisOptions& options = input.options;
  Question question{.row = row, .name = 0, .target = {static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin()), std::nullopt}};
  if (!options.is("target", "top")) question.target.token = token_of(model, "target", options.text("target"));
  if (!options.text("against").empty()) question.target.against = token_of(model, "against", options.text("against"));
  const std::size_t last = model.spec.causal() ? row : text.ids.size() - 1;
  if (!options.is("name", "target")) {
    question.name = options.whole("name", 0, last);
    return question;
  }
  for (std::size_t i = last + 1; i-- > 0;) {
    if (text.ids[i] != question.target.token) continue;
    question.name = i;
    return question;
  }
  throw Error({"--set target", "a token that the text says before the row", token_label(model, question.target.token), "give --set name=N, the name's position"}, Fault::usage);
}

/// Means over texts, [heads].
struct Summed {
  std::vector<std::vector<double>> moved;  // [heads, texts]
  std::vector<double> attention, after;
  double size = 0.0;  // of the logit or the difference
};

double mean_of(std::span<const double> values) { return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()); }

std::vector<std::size_t> rows_asked(const AnalysisInput& input) {
  std::vector<std::size_t> rows;
  for (const ModelText& text : input.texts) {
    if (text.ids.empty()) throw Error({"text " + std::to_string(rows.size()), "at least one token", "none", ""});
    rows.push_back(input.options.is("position", "last") ? text.ids.size() - 1 : input.options.whole("position", 0, text.ids.size() - 1));
  }
  return rows;
}

Summed measure(const AnalysisInput& input, double threshold) {
  const Model& model = input.model->model;
  const std::size_t heads = model.spec.blocks.size() * most_heads(model.spec), count = input.texts.size();
  const std::vector<std::size_t> rows = rows_asked(input);
  Summed all{std::vector<std::vector<double>>(heads), std::vector<double>(heads, 0.0), std::vector<double>(heads, 0.0), 0.0};
  std::vector<Question> questions;
  for (std::size_t t = 0; t < count; ++t) {
    const Seen seen = look(*input.model, input.texts[t], rows[t], nullptr);
    const Question& question = questions.emplace_back(question_of(input, input.texts[t], seen.logits, rows[t]));
    const auto logit = [&](TokenId id) { return static_cast<double>(seen.logits[static_cast<std::size_t>(id)]); };
    all.size += std::abs(logit(question.target.token) - (question.target.against ? logit(*question.target.against) : 0.0)) / static_cast<double>(count);
    const std::vector<Moved> moved = moved_by_heads(model, seen, question);
    for (std::size_t h = 0; h < heads; ++h) {
      all.moved[h].push_back(moved[h].moved);
      all.attention[h] += moved[h].attention / static_cast<double>(count);
    }
    input.run.step("name_movers", t + 1, 2 * count);
  }
  const auto movers = std::make_unique<bool[]>(heads);
  for (std::size_t h = 0; h < heads; ++h) movers[h] = mean_of(all.moved[h]) > threshold * all.size;
  for (std::size_t t = 0; t < count; ++t) {
    SilentAt silent({movers.get(), heads}, most_heads(model.spec), rows[t]);
    const std::vector<Moved> moved = moved_by_heads(model, look(*input.model, input.texts[t], rows[t], &silent), questions[t]);
    for (std::size_t h = 0; h < heads; ++h) all.after[h] += moved[h].moved / static_cast<double>(count);
    input.run.step("name_movers", count + t + 1, 2 * count);
  }
  return all;
}

AnalysisResult run(const AnalysisInput& input) {
  const Model& model = input.model->model;
  require_linear_head(model);
  const double threshold = input.options.number("threshold", 0.0, 100.0);
  const Summed all = measure(input, threshold);
  const std::size_t most = most_heads(model.spec);
  const double least = threshold * all.size;
  AnalysisTable table{"what heads move from the name to its logit, by the size of what they move", {"head", "attention", "moved", "without the movers", "role"}, {}};
  if (input.texts.size() > 1) table.header.insert(table.header.begin() + 3, {"low", "high"});
  std::vector<double> cells(all.moved.size(), std::nan(""));
  for (std::size_t h = 0; h < all.moved.size(); ++h) {
    if (h % most >= model.spec.blocks[h / most].attention.heads) continue;
    const double moved = cells[h] = mean_of(all.moved[h]);
    const char* role = moved > least ? "name mover" : moved < -least ? "negative name mover" : all.after[h] > least ? "backup name mover" : "";
    std::vector<Json>& row = table.rows.emplace_back(std::vector<Json>{head_label(h / most, h % most), all.attention[h], moved, all.after[h], role});
    if (input.texts.size() < 2) continue;
    const Estimate bounds = described_mean({"moved", "logit", "text"}, all.moved[h], {});
    row.insert(row.begin() + 3, {bounds.low, bounds.high});
  }
  std::ranges::stable_sort(table.rows, std::ranges::greater{}, [](const std::vector<Json>& row) { return std::abs(row[2].number()); });
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.grids = {head_grid("moved from the name to its logit", "logit", most, std::move(cells))};
  result.notes = {"A role is given above " + std::to_string(least) + ", which is the threshold times the mean size of the logit (difference).",
                  "Direct effects alone; heads that act through others are found by `vitrine patch --to`. The largest of many heads is expected to stand out by chance."};
  return result;
}

}  // namespace

const Analysis& analysis_name_movers() {
  static constexpr AnalysisOption options[] = {{"target", "the name whose logit is read: a token as text or #id, `top` = the likeliest", "top"},
                                               {"against", "a token whose logit is taken off; empty: none", ""},
                                               {"name", "the name's position, or `target` = where the text says the target last", "target"},
                                               {"position", "of the row whose logits are read, counted from 0, or last", "last"},
                                               {"threshold", "share of the logit (difference) that a head must move to have a role", "0.1"}};
  static const Analysis analysis{"name_movers",
                                 "heads that take a name to its logit, take it away, or stand in for those that do",
                                 "Wang et al. 2022, arXiv:2211.00593",
                                 "vitrine analyse name_movers MODEL --text \"When Mary and John went to the store, John gave a drink to\" --set \"target= Mary\" "
                                 "--set \"against= John\"",
                                 AnalysisOf::model_and_texts,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
