#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "core/model/forward.h"

namespace vitrine {

/// The rows of one pass through the blocks: several sequences side by side, without padding.
struct PassRows {
  const ModelSpec& spec;                         ///< of the stack
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
  BlockPass(const ForwardContext& context, const PassRows& rows)
      : context_(context), rows_(rows), spec_(rows.spec), live_rows_(rows.rows.size()) {}
  /// The query stream beside a content stream, whose blocks run first. @param rows  those that are predicted
  BlockPass(const ForwardContext& context, const PassRows& rows, const BlockPass& content) : BlockPass(context, rows) { content_ = &content; }

  /// What every row of a query stream starts from.
  TensorView<float, 2> embed_queries();
  /// Token, position and type embeddings -> [rows, width].
  TensorView<float, 2> embed();
  /// Rows that have come so far, and behind them those with a residual stream of their own (Segment::residual) -> [rows, width].
  TensorView<float, 2> enter(TensorView<float, 2> before);
  /// One block: residual stream in, residual stream out (for a post-norm block after its last norm). What comes out of the
  /// last block are the wanted rows alone.
  TensorView<float, 2> block(int index, TensorView<float, 2> residual);
  /// Final norm, where the model has one.
  TensorView<float, 2> finish(TensorView<float, 2> residual);
  /// Keys and values of every block's cross attention into the memories of the segments, whose rows are an encoder's.
  /// @param hidden  [rows, width of the encoder]
  void remember(TensorView<float, 2> hidden);
  void show(const ProbePoint& point, TensorView<float, 2> values) const;

 private:
  ProbePoint at(int index, Site site, AttentionRole role = AttentionRole::self) const {
    return {.stack = spec_.stack, .stream = content_ ? Stream::query : Stream::content, .role = role, .block = index, .site = site};
  }
  struct NormSites {
    Role role;
    Site scale, normalized;
    AttentionRole of = AttentionRole::self;
  };
  std::pmr::vector<std::int32_t> table_positions() const;
  TensorView<float, 2> add_positions(TensorView<float, 2> stream);
  TensorView<float, 2> normalize(int index, const NormSites& sites, TensorView<float, 2> x, std::size_t slot);
  TensorView<float, 3> normalize_heads(int index, const NormSites& sites, TensorView<float, 3> x, std::size_t column);
  TensorView<float, 2> contribution(int index, const NormSites& sites, TensorView<float, 2> out);
  void rotate(const AttentionSpec& spec, TensorView<float, 3> x);
  TensorView<float, 2> attention(int index, TensorView<float, 2> input);
  TensorView<float, 2> query_attention(int index, TensorView<float, 2> input);
  TensorView<float, 2> project_out(int index);
  /// What the router chose: entry i is a row that an expert takes, by expert and then by row.
  struct ExpertChoice {
    std::pmr::vector<std::uint32_t> experts;
    std::pmr::vector<TakenRow> taken;
    TensorView<float, 2> shares;  ///< [rows, chosen]
  };
  struct ExpertOf {
    int index, expert;
    std::span<const TakenRow> taken;
  };
  /// Rows of one segment, [rows, heads, head_dim].
  struct HeadRows {
    TensorView<float, 3> q, k, v;
  };
  void attend(int index, TensorView<float, 3> q, TensorView<float, 3> k, TensorView<float, 3> v);
  /// Shared by self and cross attention: everything of a problem that does not depend on whose keys it has.
  /// @param problems  in the order of the rows, with q, k, v, q_start
  void solve(int index, AttentionRole role, std::span<AttentionProblem> problems);
  TensorView<float, 2> cross_block(int index, TensorView<float, 2> base, bool post);
  void cross_attend(int index, TensorView<float, 3> q);
  void lay_out_distances();
  void lay_out_permutation();
  BitView seen_by_content(std::size_t segment) const;
  ContentByDistance content_by_distance(int index);
  void attend_targets(int index, TensorView<float, 3> q);
  void run_kernel(std::span<const AttentionProblem> problems);
  void append(int index, const Segment& segment, std::size_t start, const HeadRows& rows);
  void store(int index, KvCache& cache, std::size_t start, const HeadRows& rows);
  void turn_back(const KvCache* cache, std::span<const AttentionProblem> problems);
  bool is_last(int index) const { return static_cast<std::size_t>(index) + 1 == spec_.blocks.size(); }
  TensorView<float, 2> wanted_rows(TensorView<float, 2> residual);
  /// Whose map it is.
  struct MapOf {
    int index;
    AttentionRole role;
  };
  bool wants_maps(const MapOf& of) const;
  void show_maps(const MapOf& of, std::span<const AttentionProblem> problems);
  void show_map_rows(const MapOf& of, const AttentionProblem& problem, std::size_t row, std::span<const RowRef> rows);
  TensorView<float, 2> mlp(int index, TensorView<float, 2> input);
  TensorView<float, 2> dense_mlp(int index, TensorView<float, 2> input);
  TensorView<float, 2> expert_mlp(int index, TensorView<float, 2> input);
  void run_expert(const ExpertOf& of, TensorView<float, 2> input, TensorView<float, 2> out);
  ExpertChoice choose_experts(int index, TensorView<float, 2> input);
  TensorView<float, 2> matrix(std::size_t slot, std::size_t cols) const;
  const Weight* weight(Role role, int block, bool bias = false) const;
  Product product(Role role, int block, TensorView<float, 2> out, int expert = -1) const;
  void show_heads(const ProbePoint& point, TensorView<float, 3> values) const;

  const ForwardContext& context_;
  const PassRows& rows_;
  const ModelSpec& spec_;
  const BlockPass* content_ = nullptr;  // of a query stream
  std::size_t reach_ = 0;               // the greatest distance that is laid out
  std::pmr::vector<std::uint64_t> words_{context_.workspace.lists()};         // bits that the content stream sees, segment after segment
  std::pmr::vector<std::size_t> first_word_{context_.workspace.lists()};      // [segments]
  std::size_t live_rows_;  // all, until the last block drops those that nobody wants
};

}  // namespace vitrine
