#pragma once

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "core/model/ops.h"
#include "core/train/tape.h"

namespace vitrine {

/// Does what the arithmetic that it decorates does, and writes every operation down. Weights are constants, of whatever type.
class TapeOps : public Ops {
 public:
  /// @param base  of exact precision; must outlive the tape
  TapeOps(Ops& base, Tape& tape);

  /// What flows into these numbers, as they are now, is `flow` besides what they are used for.
  void seed(TensorView<const float, 2> at, Numbers flow);
  /// Calls `give` with what flows into these numbers, as they are now. @param at  [rows, cols]
  void read(TensorView<const float, 2> at, std::function<void(TensorView<const float, 2> flow)> give);
  /// Where these numbers differ from what they were, nothing flows on to where that came from.
  void written(TensorView<const float, 2> at, const Numbers& before);
  /// The next `read.rows` rows of the maps of the attention that ran last, counted for scores and for weights apart.
  void read_map(KeptProblem::MapRead read);

  Precision precision() const override { return base_.precision(); }
  ThreadPool& pool() override { return base_.pool(); }
  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override;
  void normalize(const Norm& norm, TensorView<const float, 2> x, TensorView<float, 2> out, TensorView<float, 2> scale) override;
  void scale_columns(const Weight* gain, TensorView<const float, 2> x, TensorView<float, 2> out) override;
  void rotate(const AttentionSpec& spec, RopeReach reach, std::span<const std::uint32_t> positions, TensorView<const float, 3> x,
              TensorView<float, 3> out) override;
  void activate(Activation activation, TensorView<const float, 2> pre, TensorView<const float, 2> linear, TensorView<float, 2> out) override;
  void soft_cap(float cap, TensorView<float, 2> x) override;
  void scale(float factor, TensorView<float, 2> x) override;
  void add(TensorView<const float, 2> a, TensorView<const float, 2> b, TensorView<float, 2> out) override;
  void gather(const Weight& table, std::span<const std::int32_t> ids, float scale, TensorView<float, 2> out) override;
  void select(TensorView<const float, 2> x, std::span<const std::size_t> rows, TensorView<float, 2> out) override;
  void mean(TensorView<const float, 2> x, TensorView<float, 2> out) override;
  void softmax(TensorView<const float, 2> x, TensorView<float, 2> out) override;
  void share(TensorView<const float, 2> weights, TensorView<const float, 2> places, TensorView<float, 2> shares) override;
  void mix(TensorView<const float, 2> x, std::span<const TakenRow> taken, TensorView<const float, 2> shares, TensorView<float, 2> out) override;
  void wrote(TensorView<const float, 2> numbers) override;
  void attend(const KernelChoice& kernel, std::span<const AttentionProblem> problems, std::span<std::byte> scratch) override;
  void weigh_values(const HeadTile& tile, TensorView<const float, 2> weights) override;
  void hadamard(TensorView<const float, 3> x, TensorView<float, 3> out) override;
  bool store(TensorView<const float, 2> rows, DType type, std::byte* target, std::size_t target_row_bytes) override;
  void map_rows(const MapRows& rows, TensorView<float, 2> tile) override { base_.map_rows(rows, tile); }
  double log_probability(std::span<const float> logits, std::size_t target) override { return base_.log_probability(logits, target); }
  void multiply_transposed(TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) override {
    base_.multiply_transposed(g, weight, out);
  }
  void attention_adjoint(const AttentionAdjoint& adjoint) override { base_.attention_adjoint(adjoint); }
  std::string describe() const override { return base_.describe(); }

 private:
  std::shared_ptr<KeptProblem> keep(const AttentionProblem& problem, const PatternRule& rule) const;

  Ops& base_;
  Tape& tape_;
  std::set<const std::byte*> stored_;  // first bytes of rows that lie in caches, which stay as they are
  std::vector<std::shared_ptr<KeptProblem>> current_;  // of the attention that ran last
  std::size_t read_scores_ = 0, read_weights_ = 0;     // rows of its maps that were asked for
};

}  // namespace vitrine
