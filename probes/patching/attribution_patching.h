#pragma once

#include "probes/patching/sweep.h"

namespace vitrine {

/// A sweep by derivatives (Nanda 2023, "Attribution patching"; Syed, Rager & Conmy 2023, arXiv:2310.10348): to first order, putting the
/// source's values s in the place of the text's own v moves the logit difference by the sum of (s - v) * d difference / d v over the cell.
/// One forward pass and one back for all cells, in place of a run a cell; right where the difference is nearly linear between both
/// values, wrong where a norm or a softmax saturates. `patched` is base + that sum. Arithmetic is that of exact precision.
/// @throws Error where the source has not as many rows as the text, or the precision is not exact; Cancelled
PatchSweep attribution_patch(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point);

}  // namespace vitrine
