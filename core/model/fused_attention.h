#pragma once

#include <cstddef>
#include <vector>

#include "core/model/architecture.h"
#include "core/model/spec.h"

namespace vitrine {

/// How the rows of q, k and v lie in one matrix.
enum class FusedOrder {
  apart,      ///< q, then k, then v
  by_group,   ///< of each key-value head: its queries, its keys, its values
  by_number,  ///< of each head, for each of its numbers: q, k, v
};

/// The rows of q, k or v in the matrix (or bias) that `rule` names; nothing for other roles.
void take_from_fused(FusedOrder order, const AttentionSpec& attention, Role role, TensorRule& rule);

/// Slopes of `heads` heads (Press et al. 2022, arXiv:2108.12409): a geometric series, and every other one of the finer series where
/// heads are no power of two.
std::vector<float> alibi_slopes(std::size_t heads);

}  // namespace vitrine
