#include "probes/patching/sweep.h"

#include <algorithm>

#include "core/base/error.h"
#include "probes/patching/base_run_internal.h"

// The value of a block can change that block, those behind it and, under a causal mask, rows from its own on. So the text is run once,
// with what enters every block kept and all keys and values in a cache; a cell then begins at its block with its first changed row, over
// the kept stream and the kept cache. Many cells are sequences of one pass, which each joins at its block: weights are read once for all.

namespace vitrine {
namespace {

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
  const PointShape shape = found == std::end(known) || !stack ? PointShape{} : point_shape(spec, point_of(point, 0, point.site));
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
  const Outcome outcome = difference_of(question);
  run_texts(runner, {&question.text, 1}, observers, sinks_of(outcome, difference));
  source.difference = difference.front();
  return source;
}

PatchSweep run_sweep(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point, std::size_t first_changed) {
  check_question(runner.model.spec, base);
  const ModelSpec& stack = *stack_of(runner.model.spec, {.stack = point.stack});
  const std::size_t length = point.stack == Stack::encoder ? base.text.source.size() : base.text.ids.size();
  const ProbePoint front = point_of(point, 0, point.site);
  const std::size_t heads = point_shape(runner.model.spec, front).heads;
  if (source.values.rows(front) != length) {
    throw Error({"text", std::to_string(source.values.rows(front)) + " tokens, as the text that values are taken from", std::to_string(length), "give texts of one length in tokens"}, Fault::usage);
  }
  BaseRun run(runner, base.text, difference_of(base), point);
  const std::vector<Cell> cells = cells_of(point.unit, stack.blocks.size(), heads, length);
  if (!stack.causal()) first_changed = 0;  // what comes later is seen too
  const auto is_same = [&](const Cell& cell) { return cell.position && *cell.position < first_changed; };
  std::vector<Cell> changed;
  std::ranges::remove_copy_if(cells, std::back_inserter(changed), is_same);
  const std::vector<double> differences = run.run(changed, first_changed, [&](std::span<const Cell> batch) { return std::make_unique<PatchedCells>(point, source.values, batch); });
  std::vector<double> patched;
  for (auto next = differences.begin(); const Cell& cell : cells) patched.push_back(is_same(cell) ? run.number() : *next++);
  return {.base = run.number(), .source = source.difference, .layers = stack.blocks.size(), .columns = cells.size() / stack.blocks.size(),
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
