#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "core/model/forward.h"

namespace vitrine {

/// The rows of one pass through the blocks: several sequences side by side, without padding.
struct PassRows {
  std::span<const Segment> segments;             ///< each with the ids of this pass
  std::pmr::vector<std::size_t> first_row;       ///< [segments]
  std::pmr::vector<RowRef> rows;                 ///< [rows]
  std::pmr::vector<std::uint32_t> positions;     ///< [rows]
  std::pmr::vector<TokenId> ids;                 ///< [rows]
  /// [segments] Rows of a segment before this one nobody asks for: of the last block only their keys and values are made.
  /// Empty: all rows are wanted.
  std::pmr::vector<std::size_t> first_wanted;

  std::size_t dropped(std::size_t segment) const { return first_wanted.empty() ? 0 : first_wanted[segment]; }
};

/// Runs block after block over a residual stream. One object a pass.
class BlockPass {
 public:
  BlockPass(const ForwardContext& context, const PassRows& rows) : context_(context), rows_(rows), live_rows_(rows.rows.size()) {}

  /// Token, position and type embeddings -> [rows, width].
  TensorView<float, 2> embed();
  /// One block: residual stream in, residual stream out (for a post-norm block after its last norm). What comes out of the
  /// last block are the wanted rows alone.
  TensorView<float, 2> block(int index, TensorView<float, 2> residual);
  /// Final norm, where the model has one.
  TensorView<float, 2> finish(TensorView<float, 2> residual);
  void show(const ProbePoint& point, TensorView<float, 2> values) const;

 private:
  struct NormSites {
    Role role;
    Site scale, normalized;
  };
  TensorView<float, 2> normalize(int index, const NormSites& sites, TensorView<float, 2> x, std::size_t slot);
  TensorView<float, 2> attention(int index, TensorView<float, 2> input);
  /// Rows of one segment, [rows, heads, head_dim].
  struct HeadRows {
    TensorView<float, 3> q, k, v;
  };
  void attend(int index, TensorView<float, 3> q, TensorView<float, 3> k, TensorView<float, 3> v);
  void run_kernel(std::span<const AttentionProblem> problems);
  void append(int index, const Segment& segment, std::size_t start, const HeadRows& rows);
  void turn_back(std::span<const AttentionProblem> problems);
  bool is_last(int index) const { return static_cast<std::size_t>(index) + 1 == context_.model.spec.blocks.size(); }
  TensorView<float, 2> wanted_rows(TensorView<float, 2> residual);
  bool wants_maps(int index) const;
  void show_maps(int index, std::span<const AttentionProblem> problems);
  void show_map_rows(int index, const AttentionProblem& problem, std::size_t row, std::span<const RowRef> rows);
  TensorView<float, 2> mlp(int index, TensorView<float, 2> input);
  TensorView<float, 2> matrix(std::size_t slot, std::size_t cols) const;
  const Weight* weight(Role role, int block, bool bias = false) const;
  Product product(Role role, int block, TensorView<float, 2> out) const;
  void show_heads(const ProbePoint& point, TensorView<float, 3> values) const;

  const ForwardContext& context_;
  const PassRows& rows_;
  std::size_t live_rows_;  // all, until the last block drops those that nobody wants
};

}  // namespace vitrine
