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

Access PatchedCells::access(const ProbePoint& point) const {
  const auto is_here = [&](const Cell& cell) { return point == point_of(point_, cell.block, point_.site); };
  return std::ranges::any_of(cells_, is_here) ? Access::write : Access::none;
}

void PatchedCells::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  const float hidden = point_.site == Site::attn_scores ? -std::numeric_limits<float>::infinity() : 0.0f;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const Cell& cell = cells_[rows[r].sequence];
    if (static_cast<int>(cell.block) != point.block || (cell.position && *cell.position != rows[r].position)) continue;
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      if (cell.head && *cell.head != h) continue;
      const std::span<const float> row = source_.row(point, rows[r].position, h);
      // Rows of a map are as long as their pass has keys; behind the shorter one's stands what nobody sees.
      const std::size_t shared = std::min(row.size(), values.extent(2));
      for (std::size_t i = 0; i < values.extent(2); ++i) values(r, h, i) = i < shared ? row[i] : hidden;
    }
  }
}

Outcome difference_of(const PatchQuestion& question) {
  const auto answer = static_cast<std::size_t>(question.answer), wrong = static_cast<std::size_t>(question.wrong);
  return {question.position, question.position, [answer, wrong](std::size_t, std::span<const float> logits) {
            return static_cast<double>(logits[answer]) - static_cast<double>(logits[wrong]);
          }};
}

ForwardSinks sinks_of(const Outcome& outcome, std::vector<double>& numbers) {
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::wanted;
  sinks.wants_logits = [&outcome](const RowRef& row) { return row.position >= outcome.first && row.position <= outcome.last; };
  sinks.logits = [&outcome, &numbers, begun = std::vector<bool>(numbers.size())](std::span<const RowRef> rows, TensorView<float, 2> logits) mutable {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::uint32_t sequence = rows[r].sequence;
      if (!begun[sequence]) numbers[sequence] = 0.0;
      begun[sequence] = true;
      numbers[sequence] += outcome.value(rows[r].position, {&logits(r, 0), logits.extent(1)});
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

BaseRun::BaseRun(const ModelRunner& runner, const ModelText& text, Outcome outcome, const SweepPoint& point, Observer* also)
    : runner_(runner), text_(text), outcome_(std::move(outcome)), point_(point), stack_(*stack_of(runner.model.spec, {.stack = point.stack})),
      stream_(in_every_block(stack_, point, Site::resid_pre)), cache_(runner.model.spec, runner.kv_format), memory_(runner.model.spec, runner.kv_format, AttentionRole::cross) {
  std::vector<Observer*> observers{&stream_};
  if (also) observers.push_back(also);
  const TapPlan taps(runner.model.spec, observers);
  std::vector<double> number(1, 0.0);
  const ModelSpec& spec = runner.model.spec;
  if (has_source()) {
    const Segment source{.ids = text.source, .memory = &memory_};
    encode(runner.context(taps), {&source, 1}, {});
  }
  Segment segment = whole(0, spec.causal() ? &cache_ : nullptr, &memory_);
  forward(runner.context(taps), {&segment, 1}, sinks_of(outcome_, number));
  number_ = number.front();
}

std::vector<double> BaseRun::run(std::span<const Cell> cells, std::size_t first_changed, const MakeObserver& make) {
  std::vector<double> numbers(cells.size(), number_);
  const std::size_t length = point_.stack == Stack::encoder ? text_.source.size() : text_.ids.size();
  for (std::size_t begin = 0, end = 0; begin < cells.size(); begin = end) {
    if (runner_.run.cancelled()) throw Cancelled();
    end = pass_end(begin, cells.size(), [&](std::size_t i) { return length - first_row(cells[i], first_changed); });
    const std::span<const Cell> batch = cells.subspan(begin, end - begin);
    const std::unique_ptr<Observer> changes = make(batch);
    std::vector<double> of_batch(batch.size(), number_);
    point_.stack == Stack::encoder ? run_encoder_cells(batch, *changes, of_batch) : run_cells(batch, first_changed, *changes, of_batch);
    std::ranges::copy(of_batch, numbers.begin() + static_cast<std::ptrdiff_t>(begin));
    runner_.run.step("patch", end, cells.size());
  }
  return numbers;
}

Segment BaseRun::whole(std::uint32_t sequence, KvCache* cache, KvCache* memory) const {
  Segment segment{.sequence = sequence, .ids = text_.ids, .types = text_.types, .cache = cache};
  if (has_source()) {
    segment.memory = memory;
    segment.source = text_.source;
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

void BaseRun::run_cells(std::span<const Cell> cells, std::size_t first_changed, Observer& changes, std::vector<double>& numbers) {
  Observer* observers[] = {&changes};
  const TapPlan taps(runner_.model.spec, observers);
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const TensorView<const float, 2> stream = stream_.matrix(point_of(point_, cells[i].block, Site::resid_pre));
    const std::size_t first = first_row(cells[i], first_changed);
    if (first > outcome_.last || first >= stream.extent(0)) continue;  // comes behind what is asked
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
  if (!segments.empty()) forward(runner_.context(taps), segments, sinks_of(outcome_, numbers));
}

void BaseRun::run_encoder_cells(std::span<const Cell> cells, Observer& changes, std::vector<double>& numbers) {
  Observer* observers[] = {&changes};
  const TapPlan taps(runner_.model.spec, observers), none;
  std::deque<KvCache> memories;
  std::vector<Segment> sources, texts;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    KvCache& memory = memories.emplace_back(runner_.model.spec, runner_.kv_format, AttentionRole::cross);
    const auto sequence = static_cast<std::uint32_t>(i);
    sources.push_back({.sequence = sequence, .ids = text_.source, .memory = &memory, .first_block = cells[i].block,
                       .residual = stream_.matrix(point_of(point_, cells[i].block, Site::resid_pre))});
    texts.push_back(whole(sequence, &empty_cache(i), &memory));
  }
  encode(runner_.context(taps), sources, {});
  forward(runner_.context(none), texts, sinks_of(outcome_, numbers));
}

}  // namespace vitrine
