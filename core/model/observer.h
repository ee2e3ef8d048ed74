#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/model/probe_point.h"
#include "core/model/score_rule.h"
#include "core/tensor/tensor_view.h"

namespace vitrine {

/// Which row of which sequence a row of values belongs to.
struct RowRef {
  std::uint32_t sequence = 0;
  std::uint32_t position = 0;
};

enum class Access : std::uint8_t { none = 0, read = 1, write = 2 };

/// Sees, and may change, values of the forward pass. Recording, ablation, patching and steering are observers.
class Observer {
 public:
  virtual ~Observer() = default;

  /// Asked once per point before a run.
  virtual Access access(const ProbePoint& point) const = 0;

  /// Called on one thread, in the order of the forward pass, in chunks of at most 512 rows. For a square point (pattern,
  /// scores) the rows are of one sequence. What an observer with Access::write leaves in `values` is what the model
  /// goes on with; others must not write.
  /// @param rows    [rows]
  /// @param values  [rows, heads, width], strided; dies with the call
  virtual void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) = 0;

  /// What the scores of a block's attention are made of besides queries and keys, where they depend on the text: once for the
  /// rows of each sequence, before their factors are multiplied. What the rule looks at dies with the call.
  /// @param point  its rotated queries
  virtual void see_rule(const ProbePoint& /*point*/, std::span<const RowRef> /*rows*/, const ScoreRule& /*rule*/) {}
};

/// For each point who wants it; a point that nobody wants costs one bit test.
class TapPlan {
 public:
  TapPlan() = default;
  TapPlan(const ModelSpec& spec, std::span<Observer* const> observers);

  /// The same with the observers of another plan of the model behind these: they see what these leave.
  TapPlan followed_by(const TapPlan& after) const;

  bool wants(const ProbePoint& point) const { return bit_of(any_, point); }
  bool writes(const ProbePoint& point) const { return bit_of(write_, point); }
  /// Whether anybody wants any point of a block (-1: those outside of blocks) of the only stack or the decoder.
  bool wants_block(int block) const {
    for (std::size_t lane = 0; lane < lane_of({.stack = Stack::encoder}) && !any_.empty(); ++lane) {
      if (any_[lane * blocks_ + static_cast<std::size_t>(block + 1)] != 0) return true;
    }
    return false;
  }
  bool writes_anything() const {
    return std::ranges::any_of(write_, [](std::uint64_t sites) { return sites != 0; });
  }
  /// Shows the values to every observer of the point, in pieces of at most 512 rows.
  void show(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) const;
  void show_rule(const ProbePoint& point, std::span<const RowRef> rows, const ScoreRule& rule) const;

 private:
  /// Self attention and all else, cross attention, the query stream; the encoder last.
  static constexpr std::size_t lane_of(const ProbePoint& point) {
    if (point.stack == Stack::encoder) return 3;
    return point.role == AttentionRole::cross ? 1 : point.stream == Stream::query ? 2 : 0;
  }
  bool bit_of(const std::vector<std::uint64_t>& sites, const ProbePoint& point) const {
    const std::size_t row = lane_of(point) * blocks_ + static_cast<std::size_t>(point.block + 1);
    return row < sites.size() && (sites[row] >> static_cast<unsigned>(point.site) & 1u) != 0;
  }

  std::vector<Observer*> observers_;
  std::size_t blocks_ = 0;                  // of the deeper stack, and one place for what lies outside of blocks
  std::vector<std::uint64_t> any_, write_;  // [lane, block + 1], one bit a site
};

}  // namespace vitrine
