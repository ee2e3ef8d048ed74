#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "kernels/pattern/map_cells.h"
#include "probes/recording.h"

namespace vitrine {

/// A head's map, or a part of it, small enough to be looked at: the largest weight of each square of `cell` queries and keys, so that no
/// spike is lost, and the mean of all of them, those that are masked (0) with them. NaN where every pair of the square is masked.
struct PooledMap {
  std::size_t cell = 1, rows = 0, columns = 0;
  std::vector<float> largest, mean;  ///< [rows, columns]
};

/// The smallest power of two in tokens of which `tokens` make at most `most` squares.
std::size_t pooled_cell(std::size_t tokens, std::size_t most);

/// From the recording's pyramid, where it has one that is not coarser; none where each row may see something of its own (`allowed`).
/// @throws Error as Recording::squares
std::optional<PooledMap> stored_pooled_map(const Recording& recording, const Recording::Module& module, std::size_t head, std::size_t sequence, std::size_t cell);

/// From factors, square by square. Any thread may do it. @param cell  a power of two; row and key of the part are multiples of it
PooledMap pooled_map(const Recording::Head& head, const MapPart& part, std::size_t cell);
PooledMap pooled_map(const Recording::Head& head, std::size_t cell);

}  // namespace vitrine
