#pragma once

#include "probes/patching/sweep.h"

namespace vitrine {

/// A sweep by derivatives (Nanda 2023, "Attribution patching"; Syed, Rager & Conmy 2023, arXiv:2310.10348): to first order, putting the
/// source's values s in the place of the text's own v moves the logit difference by the sum of (s - v) * d difference / d v over the cell.
/// One forward pass and one back for all cells, in place of a run a cell; right where the difference is nearly linear between both
/// values, wrong where a norm or a softmax saturates. `patched` is base + that sum. Arithmetic is that of exact precision.
/// @throws Error where the source has not as many rows as the text, or the precision is not exact; Cancelled
PatchSweep attribution_patch(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point);

/// Which slope stands for the way from a text's values to those of another.
enum class PatchSlope {
  integrated,  ///< the mean derivative over runs whose token embeddings lie between both texts' (Hanna, Pezzelle & Belinkov 2024,
               ///< arXiv:2403.17806, for nodes in the place of edges), at the middles of 64 parts of the way
  rescaled,    ///< secants between both runs (DeepLIFT's rescale rule; Tape::pull_back)
};
/// The same with a slope that both texts have a part in: where a norm, a softmax or an MLP saturates at the text, what lies between is seen.
/// @param other  of as many tokens; `source` of the result is its difference
/// @throws Error as attribution_patch, and where the texts go through different experts (rescaled)
PatchSweep attribution_patch_between(const ModelRunner& runner, const PatchQuestion& base, const PatchQuestion& other, const SweepPoint& point, PatchSlope slope);

}  // namespace vitrine
