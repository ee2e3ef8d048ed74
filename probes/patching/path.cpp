#include "probes/patching/path.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "core/base/error.h"
#include "probes/patching/base_run_internal.h"

namespace vitrine {
namespace {

/// What the ends' inputs were in the runs of the senders.
class EndValues {
 public:
  EndValues(const ModelSpec& spec, std::span<const PathEnd> ends) : spec_(spec), ends_(ends.begin(), ends.end()) {}

  bool is_end(const ProbePoint& point) const {
    return std::ranges::any_of(ends_, [&](const PathEnd& end) { return point.block == static_cast<int>(end.block) && point.site == end.input; });
  }
  /// Calls `each(head, values of that end)` for the ends at a point, of a row of a cell.
  template <typename Each>
  void visit(const ProbePoint& point, std::size_t cell, std::size_t position, const Each& each) {
    for (std::size_t e = 0; e < ends_.size(); ++e) {
      if (point.block != static_cast<int>(ends_[e].block) || point.site != ends_[e].input) continue;
      const AttentionSpec& spec = spec_.blocks[ends_[e].block].attention;
      const std::size_t head = ends_[e].input == Site::q ? ends_[e].head : ends_[e].head / (spec.heads / spec.kv_heads);
      each(head, kept_[{cell, e, position}]);
    }
  }

 private:
  const ModelSpec& spec_;
  std::vector<PathEnd> ends_;
  std::map<std::array<std::size_t, 3>, std::vector<float>> kept_;  // cell, end, position -> [d_head]
};

/// One head as in the source run, those of later blocks as in the text's own; what reaches the ends is kept.
class SenderCells : public Observer {
 public:
  SenderCells(const PointValues& source, const PointValues& own, std::span<const Cell> cells, EndValues& ends, std::size_t first_cell)
      : source_(source), own_(own), cells_(cells), ends_(ends), first_cell_(first_cell) {}

  Access access(const ProbePoint& point) const override {
    return point.site == Site::z && point.role == AttentionRole::self ? Access::write : ends_.is_end(point) ? Access::read : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const Cell& cell = cells_[rows[r].sequence];
      const auto block = static_cast<std::size_t>(point.block);
      if (point.site != Site::z) {
        ends_.visit(point, first_cell_ + rows[r].sequence, rows[r].position, [&](std::size_t head, std::vector<float>& kept) {
          kept.assign(&values(r, head, 0), &values(r, head, 0) + values.extent(2));
        });
        continue;
      }
      for (std::size_t h = 0; h < values.extent(1); ++h) {
        if (block == cell.block && h != *cell.head) continue;
        std::ranges::copy((block == cell.block ? source_ : own_).row(point, rows[r].position, h), &values(r, h, 0));
      }
    }
  }

 private:
  const PointValues &source_, &own_;
  std::span<const Cell> cells_;
  EndValues& ends_;
  std::size_t first_cell_;
};

/// The ends' inputs as the senders' runs left them.
class EndCells : public Observer {
 public:
  EndCells(EndValues& ends, std::size_t first_cell) : ends_(ends), first_cell_(first_cell) {}
  Access access(const ProbePoint& point) const override { return ends_.is_end(point) ? Access::write : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      ends_.visit(point, first_cell_ + rows[r].sequence, rows[r].position, [&](std::size_t head, std::vector<float>& kept) { std::ranges::copy(kept, &values(r, head, 0)); });
    }
  }

 private:
  EndValues& ends_;
  std::size_t first_cell_;
};

std::size_t number_of(std::string_view text, std::string_view whole) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  throw Error({"--to", "logits, or inputs of heads as L9H9.q+L9H6.q", quoted(whole), ""}, Fault::usage);
}

}  // namespace

std::vector<PathEnd> parse_path_ends(const ModelSpec& spec, std::string_view text) {
  std::vector<PathEnd> ends;
  for (std::string_view rest = text; text != "logits" && !text.empty();) {
    const std::size_t plus = rest.find('+');
    const std::string_view word = rest.substr(0, plus);
    const std::size_t h = word.find('H'), dot = word.find('.');
    const std::string_view input = dot == std::string_view::npos ? std::string_view() : word.substr(dot + 1);
    if (!word.starts_with('L') || h == std::string_view::npos || dot == std::string_view::npos || (input != "q" && input != "k" && input != "v")) number_of("", word);
    const PathEnd end{number_of(word.substr(1, h - 1), word), number_of(word.substr(h + 1, dot - h - 1), word), input == "q" ? Site::q : input == "k" ? Site::k : Site::v};
    if (end.block >= spec.blocks.size() || end.head >= spec.blocks[end.block].attention.heads) {
      throw Error({"--to", "heads up to L" + std::to_string(spec.blocks.size() - 1) + "H" + std::to_string(spec.blocks.back().attention.heads - 1), quoted(word), ""}, Fault::usage);
    }
    ends.push_back(end);
    if (plus == std::string_view::npos) break;
    rest.remove_prefix(plus + 1);
  }
  if (ends.empty() && text != "logits") number_of("", text);
  return ends;
}

PatchSweep run_path_sweep(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, std::span<const PathEnd> ends, std::size_t first_changed) {
  const ModelSpec& spec = runner.model.spec;
  check_question(spec, base);
  if (!spec.encoder.empty()) throw Error({spec.name, "a model with one stack of blocks", "an encoder-decoder", ""}, Fault::usage);
  const SweepPoint point{.stack = spec.stack, .site = Site::z, .unit = PatchUnit::head};
  const ProbePoint front = point_of(point, 0, Site::z);
  if (source.values.rows(front) != base.text.ids.size()) throw Error({"text", std::to_string(source.values.rows(front)) + " tokens", std::to_string(base.text.ids.size()), "give texts of one length in tokens"}, Fault::usage);
  if (!spec.causal()) first_changed = 0;
  PointValues own(in_every_block(spec, point, Site::z));
  BaseRun run(runner, base, point, &own);
  std::size_t last = spec.blocks.size(), first_end = spec.blocks.size();
  for (const PathEnd& end : ends) first_end = std::min(first_end, end.block);
  if (!ends.empty()) last = std::ranges::max_element(ends, {}, &PathEnd::block)->block;
  const std::size_t heads = spec.blocks.front().attention.heads;
  std::vector<Cell> senders;
  for (std::size_t block = 0; block < last; ++block) {
    for (std::size_t head = 0; head < heads; ++head) senders.push_back({block, {}, head});
  }
  EndValues values(spec, ends);
  const auto first_of = [](std::span<const Cell> batch, const std::vector<Cell>& all) { return static_cast<std::size_t>(batch.data() - all.data()); };
  std::vector<double> differences = run.run(senders, first_changed, [&](std::span<const Cell> batch) {
    return std::make_unique<SenderCells>(source.values, own, batch, values, first_of(batch, senders));
  });
  if (!ends.empty()) {
    const std::vector<Cell> receivers(senders.size(), Cell{first_end, {}, {}});
    differences = run.run(receivers, first_changed, [&](std::span<const Cell> batch) { return std::make_unique<EndCells>(values, first_of(batch, receivers)); });
  }
  differences.resize(spec.blocks.size() * heads, run.difference());
  return {.base = run.difference(), .source = source.difference, .layers = spec.blocks.size(), .columns = heads, .patched = std::move(differences), .passes = spec.blocks.size() * heads};
}

}  // namespace vitrine
