#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "probes/recording.h"

namespace vitrine {

/// A head's map small enough to be looked at: the largest weight of each square of `cell` queries and keys, so that no spike is lost.
struct PooledMap {
  std::size_t cell = 1, rows = 0, columns = 0;
  std::vector<float> largest;  ///< [rows, columns]; NaN where every pair of the square is masked by its order
};

/// The smallest power of two in tokens of which `tokens` make at most `most` squares.
std::size_t pooled_cell(std::size_t tokens, std::size_t most);

/// From the recording's pyramid, where it has one that is not coarser. @throws Error as Recording::squares
std::optional<PooledMap> stored_pooled_map(const Recording& recording, const Recording::Module& module, std::size_t head, std::size_t sequence, std::size_t cell);

/// From factors, square by square. Any thread may do it. @param cell  a power of two
PooledMap pooled_map(const Recording::Head& head, std::size_t cell);

}  // namespace vitrine
