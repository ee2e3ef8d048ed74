#pragma once

#include "core/model/forward.h"

namespace vitrine {

/// Logits of rows after the final norm: the head's transform, its product and bias, the soft cap.
/// @param hidden  [rows, width], which may change
/// @return        [rows, vocabulary], good until the workspace's next pass or call
TensorView<float, 2> unembed(const ForwardContext& context, TensorView<float, 2> hidden);

/// Logits of rows of the residual stream after any block, as if that block were the last: final norm, then unembed(). What lenses
/// read (nostalgebraist 2020, "interpreting GPT: the logit lens"). The rows after the last block give the model's own logits.
/// @param residual  [rows, width]
/// @return          as unembed()
TensorView<float, 2> logits_of_residual(const ForwardContext& context, TensorView<const float, 2> residual);

}  // namespace vitrine
