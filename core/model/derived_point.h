#pragma once

#include "core/model/probe_point.h"

namespace vitrine {

/// Whether a point shows what was computed on the way to a value and is not read again, so that writing it would change nothing: norms'
/// scales, log-sum-exps, row statistics, the numbers of chosen experts.
bool is_derived(Site site);

}  // namespace vitrine
