#pragma once

#include "core/base/thread_pool.h"
#include "core/model/model.h"

namespace vitrine {

/// Tokens to decode from which on the move is paid back on the slowest machine measured, a virtual one whose host takes free
/// huge pages away: 2.4 ms a megabyte to get them, 7 to 13 us saved a megabyte and token.
constexpr std::size_t worth_making_resident = 256;

/// Moves the matrices of a model from the mapped file into memory of huge pages, and gives the file's pages back. For whoever
/// decodes many tokens: each reads all weights, and does so faster there (docs/decisions/0007). Values stay the same, to the bit.
/// Does nothing where the system has no huge pages to give or where less than twice the weights' size is free.
void make_resident(Model& model, ThreadPool& pool);

}  // namespace vitrine
