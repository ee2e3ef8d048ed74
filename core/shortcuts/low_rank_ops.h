#pragma once

#include <map>
#include <vector>

#include "core/model/forwarding_ops.h"
#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// What the product of a weight gets besides, or instead: scale * up * (down * x).
struct LowRankTerm {
  Weight down;  ///< [rank, cols] f32
  Weight up;    ///< [rows, rank] f32, scale included
  enum class Of { sum, whole } of = Of::sum;
};

/// Arithmetic in which some weights' products have terms of low rank.
class LowRankOps : public ForwardingOps {
 public:
  /// @param terms  of weights in their places in memory
  LowRankOps(Ops& base, std::map<const Weight*, LowRankTerm> terms) : ForwardingOps(base), terms_(std::move(terms)) {}

  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override;
  void multiply_transposed(TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) override;

 private:
  std::map<const Weight*, LowRankTerm> terms_;
  std::vector<Product> plain_;        // of this call
  std::vector<float> inner_, added_;  // [rows, rank], [rows, columns]
};

/// The terms of these matrices, in every block that shares one.
OpsLayer low_rank_layer(std::map<WeightKey, LowRankTerm> terms);

}  // namespace vitrine
