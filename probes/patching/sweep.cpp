#include "probes/patching/sweep.h"

#include <algorithm>
#include <deque>
#include <limits>

#include "core/base/error.h"

// The value of a block can change that block, those behind it and, under a causal mask, rows from its own on. So the text is run once,
// with what enters every block kept and all keys and values in a cache; a cell then begins at its block with its first changed row, over
// the kept stream and the kept cache. Many cells are sequences of one pass, which each joins at its block: weights are read once for all.

namespace vitrine {
namespace {

ProbePoint at(const SweepPoint& point, std::size_t block, Site site) {
  const AttentionRole role = site == point.site ? point.role : AttentionRole::self;
  return {.stack = point.stack, .role = role, .block = static_cast<int>(block), .site = site};
}

std::vector<ProbePoint> in_every_block(const ModelSpec& stack, const SweepPoint& point, Site site) {
  std::vector<ProbePoint> points;
  for (std::size_t block = 0; block < stack.blocks.size(); ++block) points.push_back(at(point, block, site));
  return points;
}

struct Cell {
  std::size_t block = 0;
  std::optional<std::size_t> position, head;  // none: all
};

/// Values of another run in the places of the cells; cell i is sequence i.
class PatchedCells : public Observer {
 public:
  PatchedCells(const SweepPoint& point, const PointValues& source, std::span<const Cell> cells) : point_(point), source_(source), cells_(cells) {}

  Access access(const ProbePoint& point) const override {
    const auto is_here = [&](const Cell& cell) { return point == at(point_, cell.block, point_.site); };
    return std::ranges::any_of(cells_, is_here) ? Access::write : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const Cell& cell = cells_[rows[r].sequence];
      if (static_cast<int>(cell.block) != point.block || (cell.position && *cell.position != rows[r].position)) continue;
      for (std::size_t h = 0; h < values.extent(1); ++h) {
        if (cell.head && *cell.head != h) continue;
        const std::span<const float> row = source_.row(point, rows[r].position, h);
        // Rows of a map are as long as their pass has keys; behind the shorter one's stands what nobody sees.
        const std::size_t shared = std::min(row.size(), values.extent(2));
        for (std::size_t i = 0; i < values.extent(2); ++i) values(r, h, i) = i < shared ? row[i] : hidden();
      }
    }
  }

 private:
  float hidden() const { return point_.site == Site::attn_scores ? -std::numeric_limits<float>::infinity() : 0.0f; }

  const SweepPoint& point_;
  const PointValues& source_;
  std::span<const Cell> cells_;
};

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

/// The text as it is: what enters every block, and its keys and values.
class BaseRun {
 public:
  BaseRun(const ModelRunner& runner, const PatchQuestion& question, const SweepPoint& point, const ModelSpec& stack)
      : runner_(runner), question_(question), point_(point), stack_(stack), stream_(in_every_block(stack, point, Site::resid_pre)),
        cache_(runner.model.spec, runner.kv_format), memory_(runner.model.spec, runner.kv_format, AttentionRole::cross) {
    Observer* observers[] = {&stream_};
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

  double difference() const { return difference_; }

  /// Logit differences of cells, those of earlier blocks first.
  std::vector<double> run(std::span<const Cell> cells, std::size_t first_changed, const PointValues& source) {
    std::vector<double> differences(cells.size(), difference_);
    const std::size_t length = point_.stack == Stack::encoder ? question_.text.source.size() : question_.text.ids.size();
    for (std::size_t begin = 0, end = 0; begin < cells.size(); begin = end) {
      if (runner_.run.cancelled()) throw Cancelled();
      std::size_t rows = 0;
      while (end < cells.size() && (end == begin || rows + length - first_row(cells[end], first_changed) <= max_rows)) rows += length - first_row(cells[end++], first_changed);
      const std::span<const Cell> batch = cells.subspan(begin, end - begin);
      PatchedCells patched(point_, source, batch);
      std::vector<double> of_batch(batch.size(), difference_);
      point_.stack == Stack::encoder ? run_encoder_cells(batch, patched, of_batch) : run_cells(batch, first_changed, patched, of_batch);
      std::ranges::copy(of_batch, differences.begin() + static_cast<std::ptrdiff_t>(begin));
      runner_.run.step("patch", end, cells.size());
    }
    return differences;
  }

 private:
  bool has_source() const { return !runner_.model.spec.encoder.empty(); }

  Segment whole(std::uint32_t sequence, KvCache* cache, KvCache* memory) const {
    Segment segment{.sequence = sequence, .ids = question_.text.ids, .types = question_.text.types, .cache = cache};
    if (has_source()) {
      segment.memory = memory;
      segment.source = question_.text.source;
    }
    return segment;
  }

  /// Of the rows that have to be run again.
  std::size_t first_row(const Cell& cell, std::size_t first_changed) const {
    return stack_.causal() ? std::max(first_changed, cell.position.value_or(0)) : 0;
  }

  KvCache& empty_cache(std::size_t index) {
    while (caches_.size() <= index) caches_.emplace_back(runner_.model.spec, runner_.kv_format);
    caches_[index].truncate(0);
    return caches_[index];
  }

  void run_cells(std::span<const Cell> cells, std::size_t first_changed, PatchedCells& patched, std::vector<double>& differences) {
    Observer* observers[] = {&patched};
    const TapPlan taps(runner_.model.spec, observers);
    std::vector<Segment> segments;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const TensorView<const float, 2> stream = stream_.matrix(at(point_, cells[i].block, Site::resid_pre));
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

  void run_encoder_cells(std::span<const Cell> cells, PatchedCells& patched, std::vector<double>& differences) {
    Observer* observers[] = {&patched};
    const TapPlan taps(runner_.model.spec, observers), none;
    std::deque<KvCache> memories;
    std::vector<Segment> sources, texts;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      KvCache& memory = memories.emplace_back(runner_.model.spec, runner_.kv_format, AttentionRole::cross);
      const auto sequence = static_cast<std::uint32_t>(i);
      sources.push_back({.sequence = sequence, .ids = question_.text.source, .memory = &memory, .first_block = cells[i].block,
                         .residual = stream_.matrix(at(point_, cells[i].block, Site::resid_pre))});
      texts.push_back(whole(sequence, &empty_cache(i), &memory));
    }
    encode(runner_.context(taps), sources, {});
    forward(runner_.context(none), texts, differences_of(question_, differences));
  }

  const ModelRunner& runner_;
  const PatchQuestion& question_;
  const SweepPoint& point_;
  const ModelSpec& stack_;
  PointValues stream_;
  KvCache cache_, memory_;
  std::deque<KvCache> caches_;  // whose places in memory stay
  double difference_ = 0.0;
};

/// Block after block its columns.
std::vector<Cell> cells_of(PatchUnit unit, std::size_t blocks, std::size_t heads, std::size_t length) {
  std::vector<Cell> cells;
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t h = 0; h < (unit == PatchUnit::position ? 1 : heads); ++h) {
      for (std::size_t p = 0; p < (unit == PatchUnit::head ? 1 : length); ++p) {
        Cell& cell = cells.emplace_back(Cell{block, {}, {}});
        if (unit != PatchUnit::head) cell.position = p;
        if (unit != PatchUnit::position) cell.head = h;
      }
    }
  }
  return cells;
}

}  // namespace

SweepPoint parse_sweep(const ModelSpec& spec, std::string_view word, std::string_view by) {
  SweepPoint point;
  std::string_view name = word;
  for (const auto& [prefix, stack] : {std::pair{"encoder.", Stack::encoder}, {"decoder.", Stack::decoder}}) {
    if (!name.starts_with(prefix)) continue;
    point.stack = stack;
    name.remove_prefix(8);
  }
  if (point.stack == Stack::only) point.stack = spec.stack;
  if (name.starts_with("cross_")) {
    point.role = AttentionRole::cross;
    name.remove_prefix(6);
  }
  const std::pair<std::string_view, Site> known[] = {
      {"resid_pre", Site::resid_pre}, {"resid_mid", Site::resid_mid}, {"resid_post", Site::resid_post}, {"attn_out", Site::attn_out},
      {"mlp_out", Site::mlp_out}, {"mlp_post", Site::mlp_post}, {"q", Site::q}, {"k", Site::k}, {"v", Site::v}, {"z", Site::z},
      {"rot_q", Site::rot_q}, {"rot_k", Site::rot_k}, {"pattern", Site::pattern}, {"scores", Site::attn_scores}};
  const auto* found = std::ranges::find(known, name, [](const auto& entry) { return entry.first; });
  const ModelSpec* stack = stack_of(spec, {.stack = point.stack});
  if (found != std::end(known)) point.site = found->second;
  const PointShape shape = found == std::end(known) || !stack ? PointShape{} : point_shape(spec, at(point, 0, point.site));
  if (shape.heads == 0) {
    std::string expected;
    for (const auto& entry : known) expected += (expected.empty() ? "" : ", ") + std::string(entry.first);
    throw Error({"--sweep", "a point that this model has of " + expected + "; encoder., decoder. or cross_ before it of an encoder-decoder", quoted(word), ""}, Fault::usage);
  }
  const bool has_heads = shape.heads > 1 || found->second == Site::z || found->second == Site::q || found->second == Site::k || found->second == Site::v || is_square(found->second);
  point.unit = by == "head_position" ? PatchUnit::head_position : by == "head" || (by.empty() && has_heads) ? PatchUnit::head : PatchUnit::position;
  const bool known_unit = by.empty() || by == "position" || by == "head" || by == "head_position";
  if (!known_unit || (point.unit != PatchUnit::position && !has_heads)) {
    throw Error({"--by", has_heads ? "position, head or head_position" : "position: " + std::string(word) + " has no heads", quoted(by), ""}, Fault::usage);
  }
  return point;
}

SourceRun run_source(const ModelRunner& runner, const PatchQuestion& question, const SweepPoint& point) {
  check_question(runner.model.spec, question);
  SourceRun source{0.0, PointValues(in_every_block(*stack_of(runner.model.spec, {.stack = point.stack}), point, point.site))};
  Observer* observers[] = {&source.values};
  std::vector<double> difference(1, 0.0);
  run_texts(runner, {&question.text, 1}, observers, differences_of(question, difference));
  source.difference = difference.front();
  return source;
}

PatchSweep run_sweep(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point, std::size_t first_changed) {
  check_question(runner.model.spec, base);
  const ModelSpec& stack = *stack_of(runner.model.spec, {.stack = point.stack});
  const std::size_t length = point.stack == Stack::encoder ? base.text.source.size() : base.text.ids.size();
  const ProbePoint front = at(point, 0, point.site);
  const std::size_t heads = point_shape(runner.model.spec, front).heads;
  if (source.values.rows(front) != length) {
    throw Error({"text", std::to_string(source.values.rows(front)) + " tokens, as the text that values are taken from", std::to_string(length), "give texts of one length in tokens"}, Fault::usage);
  }
  BaseRun run(runner, base, point, stack);
  const std::vector<Cell> cells = cells_of(point.unit, stack.blocks.size(), heads, length);
  if (!stack.causal()) first_changed = 0;  // what comes later is seen too
  const auto is_same = [&](const Cell& cell) { return cell.position && *cell.position < first_changed; };
  std::vector<Cell> changed;
  std::ranges::remove_copy_if(cells, std::back_inserter(changed), is_same);
  const std::vector<double> differences = run.run(changed, first_changed, source.values);
  std::vector<double> patched;
  for (auto next = differences.begin(); const Cell& cell : cells) patched.push_back(is_same(cell) ? run.difference() : *next++);
  return {.base = run.difference(), .source = source.difference, .layers = stack.blocks.size(), .columns = cells.size() / stack.blocks.size(),
          .patched = std::move(patched), .passes = cells.size()};
}

std::size_t first_difference(const ModelText& a, const ModelText& b) {
  const bool beside = !a.source.empty() || !b.source.empty();
  const std::vector<TokenId>&left = beside ? a.source : a.ids, &right = beside ? b.source : b.ids;
  if (left.size() != right.size() || a.ids.size() != b.ids.size()) {
    throw Error({"--corrupt", std::to_string(left.size()) + " tokens, as --clean has: a patched value must have a place of its own", std::to_string(right.size()), "write texts of one length (`vitrine tokenize` shows their tokens)"}, Fault::usage);
  }
  return beside ? 0 : static_cast<std::size_t>(std::ranges::mismatch(left, right).in1 - left.begin());
}

}  // namespace vitrine
