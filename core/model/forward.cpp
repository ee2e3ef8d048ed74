#include "core/model/forward.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/model/block_pass.h"
#include "core/model/derived_point.h"
#include "core/model/readout_pass_internal.h"
#include "core/model/unembed.h"

namespace vitrine {
namespace {

constexpr std::size_t logit_rows = 128;     // rows of logits that exist at once: 25 MB for 49,152 tokens
constexpr std::size_t selected_slot = 33;   // behind BlockPass's slots and the logits

std::size_t start_of(const Segment& segment) { return segment.cache ? segment.cache->length() + segment.shared : 0; }

void check_memory(const ModelSpec& spec, const Segment& segment) {
  const bool is_decoder = std::ranges::any_of(spec.blocks, [](const BlockSpec& block) { return block.cross.has_value(); });
  VITRINE_CHECK(!is_decoder || segment.memory != nullptr);
  if (is_decoder && segment.memory->length() == 0) {
    throw Error({"source of sequence " + std::to_string(segment.sequence), "at least one token", "none", ""});
  }
}

void check_segment(const ModelSpec& spec, const Segment& segment) {
  VITRINE_CHECK(spec.causal() == (segment.cache != nullptr));
  check_memory(spec, segment);
  VITRINE_CHECK(segment.shared == 0 || (segment.cache && segment.cache->length() == 0 && segment.shared_from));
  VITRINE_CHECK(segment.types.empty() || segment.types.size() == segment.ids.size());
  VITRINE_CHECK(segment.first_block < spec.blocks.size() && (segment.residual.empty() ? segment.first_block == 0
      : segment.residual.extent(0) == segment.ids.size() && segment.residual.extent(1) == spec.width && segment.targets.empty()));
  const std::size_t end = start_of(segment) + segment.ids.size();
  if (spec.context > 0 && end > spec.context) {
    throw Error({"sequence " + std::to_string(segment.sequence), "at most " + std::to_string(spec.context) +
                 " tokens (the model's context)", std::to_string(end), "shorten the text"});
  }
  for (const TokenId id : segment.ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= spec.vocabulary) {
      throw Error({"sequence " + std::to_string(segment.sequence),
                   "token ids from 0 to " + std::to_string(spec.vocabulary - 1), std::to_string(id), ""});
    }
  }
  for (const std::uint32_t position : segment.targets) VITRINE_CHECK(spec.query_stream && position < segment.ids.size());
  VITRINE_CHECK(segment.allowed.empty() || (spec.query_stream && segment.allowed.rows == segment.ids.size() && segment.allowed.columns == segment.ids.size()));
  if (spec.blocks.front().attention.relative) return;  // types are compared, not looked up
  for (const std::int32_t type : segment.types) {
    if (type < 0 || static_cast<std::size_t>(type) >= std::max<std::size_t>(spec.token_types, 1)) {
      throw Error({"token types", "0 to " + std::to_string(spec.token_types - 1), std::to_string(type), ""});
    }
  }
}

/// Near or far factors of the rope, by how long the text is with this segment; keys that are there were turned by one of them.
void choose_reach(const ModelSpec& spec, const Segment& segment) {
  const auto turned = std::ranges::find_if(spec.blocks, [](const BlockSpec& block) { return !block.attention.rope_far_factors.empty(); });
  if (turned == spec.blocks.end() || !segment.cache) return;
  const std::size_t near = turned->attention.rope_near, start = start_of(segment), end = start + segment.ids.size();
  const RopeReach reach = end > near ? RopeReach::far : RopeReach::near;
  const RopeReach before = start == 0 ? reach : segment.shared > 0 ? segment.shared_from->reach() : segment.cache->reach();
  if (before != reach) {
    throw Error({"sequence " + std::to_string(segment.sequence), "a text that stays on one side of " + std::to_string(near) +
                 " tokens, where the factors of this model's rope change", std::to_string(start) + " tokens that became " + std::to_string(end),
                 "give the whole text at once"});
  }
  segment.cache->set_reach(reach);
}

void refuse_unsupported_points(const ForwardContext& context) {
  if (!context.taps.writes_anything()) return;
  for (const ProbePoint& point : all_points(context.model.spec)) {
    if (!context.taps.wants(point)) continue;
    if (context.taps.writes(point) && is_derived(point.site)) {
      throw Error({"point " + point_name(point), "a point that may be written", "a derived point", "write the value it is derived from"});
    }
  }
}

PassRows lay_out(const ModelSpec& spec, std::span<const Segment> segments, std::pmr::memory_resource* lists) {
  PassRows pass{.spec = spec,
                .segments = segments,
                .first_row = std::pmr::vector<std::size_t>(lists),
                .rows = std::pmr::vector<RowRef>(lists),
                .positions = std::pmr::vector<std::uint32_t>(lists),
                .ids = std::pmr::vector<TokenId>(lists),
                .first_wanted = std::pmr::vector<std::size_t>(lists)};
  for (const Segment& segment : segments) {
    pass.first_row.push_back(pass.rows.size());
    for (std::size_t i = 0; i < segment.ids.size(); ++i) {
      const auto position = static_cast<std::uint32_t>(start_of(segment) + i);
      pass.rows.push_back({segment.sequence, position});
      pass.positions.push_back(position);
      pass.ids.push_back(segment.ids[i]);
    }
  }
  return pass;
}

/// Where a row stands after the last block.
std::size_t place_of(const PassRows& pass, std::size_t row) {
  std::size_t place = row;
  for (std::size_t s = 0; s < pass.segments.size() && pass.first_row[s] <= row; ++s) place -= pass.dropped(s);
  return place;
}

/// Logits of the chosen rows, a few at a time, to the observers and to the sink.
void make_logits(const ForwardContext& context, const PassRows& pass, TensorView<float, 2> hidden,
                 std::span<const std::size_t> wanted, const ForwardSinks& sinks) {
  const ModelSpec& spec = context.model.spec;
  const ProbePoint point{.stack = spec.stack, .site = Site::logits};
  for (std::size_t begin = 0; begin < wanted.size(); begin += logit_rows) {
    const std::size_t count = std::min(logit_rows, wanted.size() - begin);
    TensorView<float, 2> input = context.workspace.matrix(selected_slot, count, spec.width);
    std::pmr::vector<RowRef> rows(context.workspace.lists());
    std::pmr::vector<std::size_t> places(context.workspace.lists());
    for (std::size_t i = 0; i < count; ++i) {
      places.push_back(place_of(pass, wanted[begin + i]));
      rows.push_back(pass.rows[wanted[begin + i]]);
    }
    context.ops.select(hidden, places, input);
    TensorView<float, 2> logits = unembed(context, input);
    if (context.taps.wants(point)) {
      context.taps.show(point, rows, {logits.data(), {count, 1, spec.vocabulary}});
    }
    if (sinks.logits) sinks.logits(rows, logits);
  }
}

/// Rows of the pass whose logits somebody wants. `last_ends` says whether the last segment is complete with this pass; the
/// others are.
std::pmr::vector<std::size_t> wanted_rows(const ForwardContext& context, const PassRows& pass,
                                          bool last_ends, const ForwardSinks& sinks) {
  std::pmr::vector<std::size_t> wanted(context.workspace.lists());
  if (!pass.spec.has_head) return wanted;
  const LogitRows which = context.taps.wants({.stack = pass.spec.stack, .site = Site::logits}) ? LogitRows::all : sinks.logit_rows;
  if (which == LogitRows::none) return wanted;
  for (std::size_t s = 0; s < pass.segments.size(); ++s) {
    const std::size_t end = pass.first_row[s] + pass.segments[s].ids.size();
    if (which == LogitRows::last && !last_ends && s + 1 == pass.segments.size()) continue;
    for (std::size_t row = which == LogitRows::last ? end - 1 : pass.first_row[s]; row < end; ++row) {
      if (which != LogitRows::wanted || sinks.wants_logits(pass.rows[row])) wanted.push_back(row);
    }
  }
  return wanted;
}

/// Rows before the first wanted one of each segment may be dropped where nobody sees what the last block makes of them.
void drop_unwanted(const ForwardContext& context, const ForwardSinks& sinks, std::span<const std::size_t> wanted, PassRows& pass) {
  const int last = static_cast<int>(pass.spec.blocks.size()) - 1;
  const NormPlacement placement = pass.spec.blocks.back().placement;
  if (pass.spec.stack == Stack::encoder || sinks.hidden || sinks.readout || context.taps.wants_block(last) || context.taps.wants_block(-1) || (placement != NormPlacement::pre && placement != NormPlacement::sandwich)) return;
  for (std::size_t s = 0; s < pass.segments.size(); ++s) {
    const std::size_t begin = pass.first_row[s], end = begin + pass.segments[s].ids.size();
    const auto first = std::ranges::lower_bound(wanted, begin);
    pass.first_wanted.push_back(first == wanted.end() || *first >= end ? end - begin : *first - begin);
  }
}

/// An encoder's rows as the decoder's cross attention will read them.
void remember(const ForwardContext& context, const PassRows& pass, TensorView<float, 2> hidden) {
  const PassRows rows{.spec = context.model.spec, .segments = pass.segments, .first_row = pass.first_row, .rows = pass.rows,
                      .positions = pass.positions, .ids = pass.ids, .first_wanted = pass.first_wanted};
  BlockPass(context, rows).remember(hidden);
}

/// Which stack runs over which of its segments, and whether the last of these ends with the pass.
struct PassOf {
  const ModelSpec& spec;
  std::span<const Segment> segments;
  bool last_ends;
};

/// Rows that the query stream predicts.
PassRows lay_out_targets(const PassRows& content, std::pmr::memory_resource* lists) {
  PassRows pass{.spec = content.spec,
                .segments = content.segments,
                .first_row = std::pmr::vector<std::size_t>(lists),
                .rows = std::pmr::vector<RowRef>(lists),
                .positions = std::pmr::vector<std::uint32_t>(lists),
                .ids = std::pmr::vector<TokenId>(lists),
                .first_wanted = std::pmr::vector<std::size_t>(lists)};
  for (const Segment& segment : content.segments) {
    pass.first_row.push_back(pass.rows.size());
    for (const std::uint32_t position : segment.targets) {
      pass.rows.push_back({segment.sequence, position});
      pass.positions.push_back(position);
      pass.ids.push_back(segment.ids[position]);
    }
  }
  return pass;
}

/// Both streams, and the logits of the second.
void run_two_streams(const ForwardContext& context, const PassRows& pass, const ForwardSinks& sinks) {
  const PassRows targets = lay_out_targets(pass, context.workspace.lists());
  BlockPass content(context, pass), queries(context, targets, content);
  TensorView<float, 2> seen = content.embed(), predicted = queries.embed_queries();
  for (int index = 0; index < static_cast<int>(pass.spec.blocks.size()); ++index) {
    if (context.run.cancelled()) throw Cancelled();
    seen = content.block(index, seen);
    predicted = queries.block(index, predicted);
  }
  seen = content.finish(seen);
  if (sinks.hidden) sinks.hidden(pass.rows, seen);
  predicted = queries.finish(predicted);
  if (!pass.spec.has_head) return;
  std::pmr::vector<std::size_t> wanted(context.workspace.lists());
  const bool all = context.taps.wants({.stack = pass.spec.stack, .site = Site::logits}) || sinks.logit_rows == LogitRows::all;
  for (std::size_t row = 0; row < targets.rows.size(); ++row) {
    if (all || (sinks.logit_rows == LogitRows::wanted && sinks.wants_logits(targets.rows[row]))) wanted.push_back(row);
  }
  make_logits(context, targets, predicted, wanted, sinks);
}

/// Block after block; segments join when their first block comes. Those that have joined are the first of the pass.
class JoinedBlocks {
 public:
  JoinedBlocks(const ForwardContext& context, const PassRows& pass) : context_(context), pass_(pass) {}

  TensorView<float, 2> run() {
    TensorView<float, 2> residual;
    for (std::size_t index = pass_.segments.front().first_block; index < pass_.spec.blocks.size(); ++index) {
      if (context_.run.cancelled()) throw Cancelled();
      if (joined_ < pass_.segments.size() && pass_.segments[joined_].first_block <= index) residual = join(index, residual);
      residual = blocks_->block(static_cast<int>(index), residual);
    }
    return residual;
  }
  TensorView<float, 2> finish(TensorView<float, 2> residual) { return blocks_->finish(residual); }

 private:
  TensorView<float, 2> join(std::size_t index, TensorView<float, 2> residual) {
    while (joined_ < pass_.segments.size() && pass_.segments[joined_].first_block <= index) ++joined_;
    const bool all = joined_ == pass_.segments.size();
    blocks_.reset();
    if (!all) part_.emplace(lay_out(pass_.spec, pass_.segments.first(joined_), context_.workspace.lists()));
    blocks_.emplace(context_, all ? pass_ : *part_);
    return pass_.segments.front().residual.empty() ? blocks_->embed() : blocks_->enter(residual);
  }

  const ForwardContext& context_;
  const PassRows& pass_;
  std::optional<PassRows> part_;
  std::optional<BlockPass> blocks_;
  std::size_t joined_ = 0;  // segments
};

void run_pass(const ForwardContext& context, const PassOf& of, const ForwardSinks& sinks) {
  PassRows pass = lay_out(of.spec, of.segments, context.workspace.lists());
  if (pass.rows.empty()) return;
  if (std::ranges::any_of(of.segments, [](const Segment& segment) { return !segment.targets.empty(); })) return run_two_streams(context, pass, sinks);
  const std::pmr::vector<std::size_t> wanted = wanted_rows(context, pass, of.last_ends, sinks);
  drop_unwanted(context, sinks, wanted, pass);
  for (const Segment& segment : of.segments) {
    if (segment.cache) segment.cache->reserve(segment.shared + segment.ids.size());
  }
  JoinedBlocks blocks(context, pass);
  const TensorView<float, 2> residual = blocks.run();
  for (const Segment& segment : of.segments) {
    if (segment.cache) segment.cache->advance(segment.shared + segment.ids.size());
  }
  if (wanted.empty() && !pass.first_wanted.empty()) return;
  TensorView<float, 2> hidden = blocks.finish(residual);
  if (sinks.hidden) sinks.hidden(pass.rows, hidden);
  if (of.spec.stack == Stack::encoder) {
    if (of.segments.front().memory) remember(context, pass, hidden);
    return;
  }
  if (sinks.readout && of.spec.readout) read_out(context, {pass, of.last_ends}, hidden, sinks);
  make_logits(context, pass, hidden, wanted, sinks);
}

void run(const ForwardContext& context, const ModelSpec& spec, std::span<const Segment> segments, const ForwardSinks& sinks) {
  for (const Segment& segment : segments) {
    VITRINE_CHECK(segment.residual.empty() == segments.front().residual.empty() && segment.first_block >= (&segment == segments.data() ? 0 : (&segment)[-1].first_block));
    check_segment(spec, segment);
    choose_reach(spec, segment);
  }
  refuse_unsupported_points(context);
  const std::size_t limit = spec.causal() ? max_rows : static_cast<std::size_t>(-1);
  std::pmr::vector<Segment> pass(context.workspace.lists());
  std::size_t rows = 0;
  bool last_ends = true;
  const auto flush = [&] {
    run_pass(context, {spec, pass, last_ends}, sinks);
    pass.clear();
    rows = 0;
  };
  for (const Segment& segment : segments) {
    for (std::size_t done = 0; done < segment.ids.size();) {
      const std::size_t count = std::min(segment.ids.size() - done, limit - rows);
      Segment piece = segment;
      piece.ids = segment.ids.subspan(done, count);
      if (done > 0) piece.shared = 0;
      if (!segment.types.empty()) piece.types = segment.types.subspan(done, count);
      if (!segment.residual.empty()) piece.residual = segment.residual.slice(done, count);
      done += count;
      last_ends = done == segment.ids.size();
      pass.push_back(piece);
      rows += count;
      if (rows == limit) flush();
    }
  }
  if (!pass.empty()) flush();
}

}  // namespace

void forward(const ForwardContext& context, std::span<const Segment> segments, const ForwardSinks& sinks) {
  run(context, context.model.spec, segments, sinks);
}

void encode(const ForwardContext& context, std::span<const Segment> segments, const ForwardSinks& sinks) {
  VITRINE_CHECK(!context.model.spec.encoder.empty());
  run(context, context.model.spec.encoder.front(), segments, sinks);
}

}  // namespace vitrine
