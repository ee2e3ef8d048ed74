#pragma once

#include "core/model/block_pass.h"

namespace vitrine {

struct ReadoutRowsOf {
  const PassRows& pass;
  bool last_ends;  ///< whether the last segment is complete with this pass; the others are
};
/// Pools and labels the sequences of a pass as ModelSpec::readout says, to the sink.
/// @param hidden  [rows, width] after the final norm
void read_out(const ForwardContext& context, const ReadoutRowsOf& of, TensorView<float, 2> hidden, const ForwardSinks& sinks);

}  // namespace vitrine
