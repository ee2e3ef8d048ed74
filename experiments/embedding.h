#pragma once

#include <span>
#include <vector>

#include "experiments/session.h"

namespace vitrine {

/// One vector for a sequence: the rows after the final norm, pooled, divided by their Euclidean length where `normalize`.
/// @param pooling  mean over all rows, the first (cls) or the last row
std::vector<double> sequence_embedding(Session& session, std::span<const TokenId> ids, Pooling pooling, bool normalize);

}  // namespace vitrine
