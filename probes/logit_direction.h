#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/model/model.h"

// The last step to a logit as a direction of the residual stream: linear but for the scale of the final norm, which is frozen as it was.

namespace vitrine {

/// Whose logit, and whose is taken off.
struct LogitTarget {
  TokenId token;
  std::optional<TokenId> against;
};

/// A vector x of the stream adds dot(x, direction) to the logit (before a soft cap); biases of norm and head add `constant`.
struct LogitDirection {
  std::vector<double> direction;  ///< [width]
  double constant = 0.0;
};

/// Null where the model has none. Of the decoder or the only stack.
const Weight* weight_or_null(const Model& model, Role role, int block, bool bias);

/// @throws Error where what a module adds to the stream adds no share of its own to the logits
void require_linear_head(const Model& model);
/// @param last  [width] what the final norm is given
LogitDirection logit_direction(const Model& model, const LogitTarget& target, std::span<const double> last);

/// What a norm whose scale is frozen makes of directions of its output: those of its input, and what its bias adds.
struct FrozenNorm {
  const Weight* gain;
  const Weight* bias;
  NormKind kind;
  double scale;
};
std::vector<double> through_norm(const FrozenNorm& norm, std::vector<double> direction);

}  // namespace vitrine
