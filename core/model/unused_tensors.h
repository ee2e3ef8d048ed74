#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"

namespace vitrine {

using TensorNames = std::set<std::string, std::less<>>;

/// Tensors of the file that no weight was made of and that are no buffers (causal masks, angles of rotary positions): heads of
/// another task, copies of a shared table.
/// @param used  those of which weights were made
/// @throws Error where one stands in a block whose other tensors are used: the block's numbers would be wrong without it
std::vector<std::string> unused_tensors(const Checkpoint& checkpoint, const TensorNames& used);

}  // namespace vitrine
