#include "probes/patching/base_run_internal.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace vitrine {

ProbePoint point_of(const SweepPoint& point, std::size_t block, Site site) {
  const AttentionRole role = site == point.site ? point.role : AttentionRole::self;
  return {.stack = point.stack, .role = role, .block = static_cast<int>(block), .site = site};
}

std::vector<ProbePoint> in_every_block(const ModelSpec& stack, const SweepPoint& point, Site site) {
  std::vector<ProbePoint> points;
  for (std::size_t block = 0; block < stack.blocks.size(); ++block) points.push_back(point_of(point, block, site));
  return points;
}

/// Logits of one row of each sequence -> differences.
ForwardSinks differences_of(const PatchQuestion& question, std::vector<double>& differences) {
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::wanted;
  sinks.wants_logits = [&question](const RowRef& row) { return row.position == question.position; };
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      differences.at(rows[r].sequence) = static_cast<double>(logits(r, static_cast<std::size_t>(question.answer))) -
                                         static_cast<double>(logits(r, static_cast<std::size_t>(question.wrong)));
    }
  };
  return sinks;
}

void check_question(const ModelSpec& spec, const PatchQuestion& question) {
  if (!spec.has_head) throw Error({spec.name, "a model with token logits", "none", "choose another model"});
  if (question.position >= question.text.ids.size()) {
    throw Error({"position " + std::to_string(question.position), "a position of the text, 0 to " + std::to_string(question.text.ids.size()) + " less one", "none there", ""}, Fault::usage);
  }
  for (const TokenId id : {question.answer, question.wrong}) {
    if (id < 0 || static_cast<std::size_t>(id) >= spec.vocabulary) {
      throw Error({"answer", "token ids from 0 to " + std::to_string(spec.vocabulary - 1), std::to_string(id), ""}, Fault::usage);
    }
  }
}

BaseRun::BaseRun(const ModelRunner& runner, const PatchQuestion& question, const SweepPoint& point, Observer* also)
    : runner_(runner), question_(question), point_(point), stack_(*stack_of(runner.model.spec, {.stack = point.stack})),
      stream_(in_every_block(stack_, point, Site::resid_pre)), cache_(runner.model.spec, runner.kv_format), memory_(runner.model.spec, runner.kv_format, AttentionRole::cross) {
  std::vector<Observer*> observers{&stream_};
  if (also) observers.push_back(also);
  const TapPlan taps(runner.model.spec, observers);
  std::vector<double> difference(1, 0.0);
  const ModelSpec& spec = runner.model.spec;
  if (has_source()) {
    const Segment source{.ids = question.text.source, .memory = &memory_};
    encode(runner.context(taps), {&source, 1}, {});
  }
  Segment segment = whole(0, spec.causal() ? &cache_ : nullptr, &memory_);
  forward(runner.context(taps), {&segment, 1}, differences_of(question, difference));
  difference_ = difference.front();
}

std::vector<double> BaseRun::run(std::span<const Cell> cells, std::size_t first_changed, const MakeObserver& make) {
  std::vector<double> differences(cells.size(), difference_);
  const std::size_t length = point_.stack == Stack::encoder ? question_.text.source.size() : question_.text.ids.size();
  for (std::size_t begin = 0, end = 0; begin < cells.size(); begin = end) {
    if (runner_.run.cancelled()) throw Cancelled();
    std::size_t rows = 0;
    while (end < cells.size() && (end == begin || rows + length - first_row(cells[end], first_changed) <= max_rows)) rows += length - first_row(cells[end++], first_changed);
    const std::span<const Cell> batch = cells.subspan(begin, end - begin);
    const std::unique_ptr<Observer> changes = make(batch);
    std::vector<double> of_batch(batch.size(), difference_);
    point_.stack == Stack::encoder ? run_encoder_cells(batch, *changes, of_batch) : run_cells(batch, first_changed, *changes, of_batch);
    std::ranges::copy(of_batch, differences.begin() + static_cast<std::ptrdiff_t>(begin));
    runner_.run.step("patch", end, cells.size());
  }
  return differences;
}

Segment BaseRun::whole(std::uint32_t sequence, KvCache* cache, KvCache* memory) const {
  Segment segment{.sequence = sequence, .ids = question_.text.ids, .types = question_.text.types, .cache = cache};
  if (has_source()) {
    segment.memory = memory;
    segment.source = question_.text.source;
  }
  return segment;
}

/// Of the rows that have to be run again.
std::size_t BaseRun::first_row(const Cell& cell, std::size_t first_changed) const {
  return stack_.causal() ? std::max(first_changed, cell.position.value_or(0)) : 0;
}

KvCache& BaseRun::empty_cache(std::size_t index) {
  while (caches_.size() <= index) caches_.emplace_back(runner_.model.spec, runner_.kv_format);
  caches_[index].truncate(0);
  return caches_[index];
}

void BaseRun::run_cells(std::span<const Cell> cells, std::size_t first_changed, Observer& changes, std::vector<double>& differences) {
  Observer* observers[] = {&changes};
  const TapPlan taps(runner_.model.spec, observers);
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const TensorView<const float, 2> stream = stream_.matrix(point_of(point_, cells[i].block, Site::resid_pre));
    const std::size_t first = first_row(cells[i], first_changed);
    if (first > question_.position || first >= stream.extent(0)) continue;  // comes behind what is asked
    Segment segment = whole(static_cast<std::uint32_t>(i), stack_.causal() ? &empty_cache(i) : nullptr, &memory_);
    segment.ids = segment.ids.subspan(first);
    if (!segment.types.empty()) segment.types = segment.types.subspan(first);
    if (first > 0) {
      segment.shared_from = &cache_;
      segment.shared = first;
    }
    segment.first_block = cells[i].block;
    segment.residual = stream.slice(first, stream.extent(0) - first);
    segments.push_back(segment);
  }
  if (!segments.empty()) forward(runner_.context(taps), segments, differences_of(question_, differences));
}

void BaseRun::run_encoder_cells(std::span<const Cell> cells, Observer& changes, std::vector<double>& differences) {
  Observer* observers[] = {&changes};
  const TapPlan taps(runner_.model.spec, observers), none;
  std::deque<KvCache> memories;
  std::vector<Segment> sources, texts;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    KvCache& memory = memories.emplace_back(runner_.model.spec, runner_.kv_format, AttentionRole::cross);
    const auto sequence = static_cast<std::uint32_t>(i);
    sources.push_back({.sequence = sequence, .ids = question_.text.source, .memory = &memory, .first_block = cells[i].block,
                       .residual = stream_.matrix(point_of(point_, cells[i].block, Site::resid_pre))});
    texts.push_back(whole(sequence, &empty_cache(i), &memory));
  }
  encode(runner_.context(taps), sources, {});
  forward(runner_.context(none), texts, differences_of(question_, differences));
}

}  // namespace vitrine
