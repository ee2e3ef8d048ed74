#include "core/train/gradients.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace vitrine {

Objective logit_difference(RowRef row, TokenId target, TokenId against) {
  Objective objective;
  objective.wants = [row](const RowRef& other) { return other.sequence == row.sequence && other.position == row.position; };
  objective.of_logits = [target, against](const RowRef&, std::span<const float> logits, std::span<float> slope) {
    slope[static_cast<std::size_t>(target)] += 1.0f;
    double value = logits[static_cast<std::size_t>(target)];
    if (against < 0) return value;
    slope[static_cast<std::size_t>(against)] -= 1.0f;
    return value - logits[static_cast<std::size_t>(against)];
  };
  return objective;
}

Objective log_probability_of(RowRef row, TokenId target) {
  Objective objective = logit_difference(row, target);
  objective.of_logits = [target](const RowRef&, std::span<const float> logits, std::span<float> slope) {
    const double top = *std::ranges::max_element(logits);
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(logit - top);
    for (std::size_t i = 0; i < logits.size(); ++i) slope[i] = static_cast<float>(-std::exp(logits[i] - top) / sum);
    slope[static_cast<std::size_t>(target)] += 1.0f;
    return logits[static_cast<std::size_t>(target)] - top - std::log(sum);
  };
  return objective;
}

namespace {

/// [rows, heads, width] with heads side by side, as far as they are.
TensorView<const float, 2> flat(TensorView<const float, 3> values) {
  VITRINE_CHECK(values.extent(1) == 1 || values.stride(1) == values.extent(2));
  return {values.data(), {values.extent(0), values.extent(1) * values.extent(2)}, {values.stride(0), 1}};
}

bool is_derived(Site site) {
  switch (site) {
    case Site::ln1_scale: case Site::ln2_scale: case Site::ln1_post_scale: case Site::ln2_post_scale: case Site::q_norm_scale: case Site::k_norm_scale:
    case Site::final_scale: case Site::normalizer: case Site::threshold: case Site::row_stats: case Site::expert_indices: return true;
    default: return false;
  }
}

void refuse_points(const GradientContext& context, const GradientReader& reader) {
  bool writes_maps = false, reads_scores = false;
  for (const ProbePoint& point : all_points(context.model.spec)) {
    for (const Observer* observer : context.observers) writes_maps |= is_square(point.site) && observer->access(point) == Access::write;
    if (!reader.wants(point)) continue;
    reads_scores |= point.site == Site::attn_scores;
    if (is_derived(point.site)) {
      throw Error({"gradient at " + point_name(point), "a point that the model goes on from", "a derived one", "ask for the value it is derived from"}, Fault::usage);
    }
  }
  if (writes_maps && reads_scores) {
    throw Error({"gradient at hook_attn_scores", "maps that nobody writes", "an observer that does", "ask for hook_pattern"}, Fault::usage);
  }
}

}  // namespace

/// An observer of the caller's; what it writes is told to the tape.
class TapedPass::Watch : public Observer {
 public:
  Watch(Observer& watched, TapeOps& ops, WrittenFlow flow) : watched_(watched), ops_(ops), flow_(flow) {}
  Access access(const ProbePoint& point) const override { return watched_.access(point); }
  void see_rule(const ProbePoint& point, std::span<const RowRef> rows, const ScoreRule& rule) override { watched_.see_rule(point, rows, rule); }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    if (flow_ == WrittenFlow::passes || is_square(point.site) || watched_.access(point) != Access::write) return watched_.see(point, rows, values);
    const Numbers before = copy_of(flat(values));
    watched_.see(point, rows, values);
    ops_.written(flat(values), before);
  }

 private:
  Observer& watched_;
  TapeOps& ops_;
  WrittenFlow flow_;
};

/// Asks the tape for what flows into the values that pass by.
class TapedPass::Reading : public Observer {
 public:
  Reading(GradientReader& reader, TapeOps& ops) : reader_(reader), ops_(ops) {}
  Access access(const ProbePoint& point) const override { return reader_.wants(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    const auto give = [&reader = reader_, point, kept = std::vector<RowRef>(rows.begin(), rows.end())](TensorView<const float, 3> gradient) {
      reader.see(point, kept, gradient);
    };
    if (is_square(point.site)) return ops_.read_map({point.site == Site::attn_scores, 0, rows.size(), give});
    ops_.read(flat(values), [give, shape = values.shape()](TensorView<const float, 2> flow) { give({flow.data(), shape}); });
  }

 private:
  GradientReader& reader_;
  TapeOps& ops_;
};

TapedPass::TapedPass(const GradientContext& context, std::span<const GradientText> texts, const Objective& objective, GradientReader& reader)
    : run_(context.run), ops_(context.ops, tape_) {
  refuse_points(context, reader);
  std::vector<Watch> watches;
  Reading reading(reader, ops_);
  std::vector<Observer*> observers;
  watches.reserve(context.observers.size());
  for (Observer* observer : context.observers) observers.push_back(&watches.emplace_back(*observer, ops_, context.written));
  observers.push_back(&reading);
  const ModelSpec& spec = context.model.spec;
  const TapPlan taps(spec, observers);
  const ForwardContext forward_context{context.model, ops_, context.kernel, workspace_, run_, taps};
  if (!spec.encoder.empty()) encode_sources(forward_context, texts);
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const GradientText& text = texts[i];
    KvCache* cache = nullptr;
    if (spec.causal()) {
      cache = caches_.emplace_back(std::make_unique<KvCache>(spec, DType::f32)).get();
      cache->reserve(text.ids.size());  // the whole text: what is stored keeps its place
    }
    segments.push_back({.sequence = static_cast<std::uint32_t>(i), .ids = text.ids, .types = text.types, .cache = cache,
                        .memory = memories_.empty() ? nullptr : memories_[i].get(), .allowed = text.allowed, .targets = text.targets, .source = text.source});
  }
  ForwardSinks sinks;
  if (objective.of_logits) {
    sinks.logit_rows = objective.wants ? LogitRows::wanted : LogitRows::all;
    sinks.wants_logits = objective.wants;
    sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) { add_logits(objective, rows, logits); };
  }
  if (objective.of_readout) sinks.readout = [&](const Readout& readout) { add_readout(objective, readout); };
  forward(forward_context, segments, sinks);
}

TapedPass::~TapedPass() = default;

void TapedPass::encode_sources(const ForwardContext& context, std::span<const GradientText> texts) {
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    memories_.push_back(std::make_unique<KvCache>(context.model.spec, DType::f32, AttentionRole::cross));
    memories_.back()->reserve(texts[i].source.size());
    segments.push_back({.sequence = static_cast<std::uint32_t>(i), .ids = texts[i].source, .memory = memories_.back().get()});
  }
  encode(context, segments, {});
}

void TapedPass::add_logits(const Objective& objective, std::span<const RowRef> rows, TensorView<float, 2> logits) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (objective.wants && !objective.wants(rows[r])) continue;
    Numbers slope{1, logits.extent(1), std::vector<float>(logits.extent(1), 0.0f)};
    value_ += objective.of_logits(rows[r], {&logits(r, 0), logits.extent(1)}, slope.data);
    ops_.seed(logits.slice(r, 1), std::move(slope));
  }
}

void TapedPass::add_readout(const Objective& objective, const Readout& readout) {
  const std::span<const float> read = readout.labels.empty() ? readout.pooled : readout.labels;
  Numbers slope{1, read.size(), std::vector<float>(read.size(), 0.0f)};
  value_ += objective.of_readout(readout, slope.data);
  ops_.seed({read.data(), {1, read.size()}}, std::move(slope));
}

void TapedPass::pull_back() { tape_.pull_back(tape_, run_); }
void TapedPass::pull_back_to(const TapedPass& other) { tape_.pull_back(other.tape_, run_); }

double differentiate(const GradientContext& context, std::span<const GradientText> texts, const Objective& objective, GradientReader& reader) {
  TapedPass pass(context, texts, objective, reader);
  pass.pull_back();
  return pass.value();
}

}  // namespace vitrine
