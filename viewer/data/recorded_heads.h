#pragma once

#include <vector>

#include "probes/head_score.h"
#include "viewer/data/head_list.h"

namespace vitrine {

/// The heads of a recording, without scores.
HeadList heads_of(const Recording& recording);
/// @param rows  head_table() of the same recording
void set_scores(HeadList& heads, const std::vector<HeadRow>& rows);

}  // namespace vitrine
