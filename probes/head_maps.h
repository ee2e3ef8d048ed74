#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "probes/recording.h"

// Maps of a recording, rebuilt from factors band by band.

namespace vitrine {

/// Rows [0, rows) of a head's map, one after the other. @param see  row and its weights [keys]
void each_map_row(const Recording::Head& head, std::size_t rows, const std::function<void(std::size_t row, std::span<const float> weights)>& see);

/// Every head of a module on a sequence: read by one thread, then worked on by all. @param work  head and its factors
void each_head(const Recording& recording, const Recording::Module& module, std::size_t sequence, ThreadPool& pool,
               const std::function<void(std::size_t head, const Recording::Head& factors)>& work);

/// (mean over heads of A + I), rows scaled to sum 1: how rows mix with the residual stream beside (Abnar & Zuidema 2020, section 3).
/// A row without any visible key keeps its own token.  [rows, rows] of the sequence
std::vector<double> attention_with_residual(const Recording& recording, const Recording::Module& module, std::size_t sequence, ThreadPool& pool);

/// What a reader of maps must know where they come from queries and keys in 8 bits: how far sampled rows are from a sum of 1. None
/// where no module is stored so. Such rows are left as they are: FORMAT.md defines a weight by the row's stored normaliser.
std::optional<std::string> note_on_maps(const Recording& recording, ThreadPool& pool);

/// The modules of a text that looks at itself. @throws Error where the recording has none, or the sequence no tokens
std::vector<Recording::Module> modules_of_text(const Recording& recording, std::size_t sequence);

}  // namespace vitrine
