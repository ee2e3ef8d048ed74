#pragma once

#include "core/model/ops.h"

namespace vitrine {

/// Arithmetic that hands everything on: whoever changes or counts one operation derives from this and overrides that one.
class ForwardingOps : public Ops {
 public:
  /// @param base  must outlive this
  explicit ForwardingOps(Ops& base) : base_(base) {}

  Precision precision() const override { return base_.precision(); }
  ThreadPool& pool() override { return base_.pool(); }
  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override { base_.multiply(x, products); }
  void normalize(const Norm& norm, TensorView<const float, 2> x, TensorView<float, 2> out, TensorView<float, 2> scale) override {
    base_.normalize(norm, x, out, scale);
  }
  void scale_columns(const Weight* gain, TensorView<const float, 2> x, TensorView<float, 2> out) override { base_.scale_columns(gain, x, out); }
  void rotate(const AttentionSpec& spec, RopeReach reach, std::span<const std::uint32_t> positions, TensorView<const float, 3> x,
              TensorView<float, 3> out) override {
    base_.rotate(spec, reach, positions, x, out);
  }
  void activate(Activation activation, TensorView<const float, 2> pre, TensorView<const float, 2> linear, TensorView<float, 2> out) override {
    base_.activate(activation, pre, linear, out);
  }
  void soft_cap(float cap, TensorView<float, 2> x) override { base_.soft_cap(cap, x); }
  void scale(float factor, TensorView<float, 2> x) override { base_.scale(factor, x); }
  void add(TensorView<const float, 2> a, TensorView<const float, 2> b, TensorView<float, 2> out) override { base_.add(a, b, out); }
  void gather(const Weight& table, std::span<const std::int32_t> ids, float scale, TensorView<float, 2> out) override {
    base_.gather(table, ids, scale, out);
  }
  void select(TensorView<const float, 2> x, std::span<const std::size_t> rows, TensorView<float, 2> out) override { base_.select(x, rows, out); }
  void mean(TensorView<const float, 2> x, TensorView<float, 2> out) override { base_.mean(x, out); }
  void softmax(TensorView<const float, 2> x, TensorView<float, 2> out) override { base_.softmax(x, out); }
  void share(TensorView<const float, 2> weights, TensorView<const float, 2> places, TensorView<float, 2> shares) override {
    base_.share(weights, places, shares);
  }
  void mix(TensorView<const float, 2> x, std::span<const TakenRow> taken, TensorView<const float, 2> shares, TensorView<float, 2> out) override {
    base_.mix(x, taken, shares, out);
  }
  void wrote(TensorView<const float, 2> numbers) override { base_.wrote(numbers); }
  void attend(const KernelChoice& kernel, std::span<const AttentionProblem> problems, std::span<std::byte> scratch) override {
    base_.attend(kernel, problems, scratch);
  }
  void weigh_values(const HeadTile& tile, TensorView<const float, 2> weights) override { base_.weigh_values(tile, weights); }
  void hadamard(TensorView<const float, 3> x, TensorView<float, 3> out) override { base_.hadamard(x, out); }
  bool store(TensorView<const float, 2> rows, DType type, std::byte* target, std::size_t target_row_bytes) override {
    return base_.store(rows, type, target, target_row_bytes);
  }
  void map_rows(const MapRows& rows, TensorView<float, 2> tile) override { base_.map_rows(rows, tile); }
  double log_probability(std::span<const float> logits, std::size_t target) override { return base_.log_probability(logits, target); }
  void multiply_transposed(TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) override {
    base_.multiply_transposed(g, weight, out);
  }
  void attention_adjoint(const AttentionAdjoint& adjoint) override { base_.attention_adjoint(adjoint); }
  std::string describe() const override { return base_.describe(); }

 protected:
  Ops& base() { return base_; }

 private:
  Ops& base_;
};

}  // namespace vitrine
