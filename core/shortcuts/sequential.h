#pragma once

#include <functional>
#include <span>

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// Changes these matrices of the model (WeightStore::replace, put_numbers), all of one block and stack, or all that read one source.
/// @param statistics  of each that any row was multiplied by: an expert that no row took has none
using ChangeMatrices = std::function<void(std::span<const WeightKey> keys, const StatisticsOf& statistics)>;

/// Calibration block by block, as in SparseGPT, Wanda and GPTQ: what a matrix's statistics are made of comes out of the blocks before it as
/// they are after their change; within a block all matrices see the inputs of the block as it was. The residual streams of all texts are
/// kept in front of the next block, which runs twice: to look on, and changed, to go on. So the whole costs two passes of the texts.
/// Encoder blocks come first, then what reads the encoder's rows, then decoder blocks. A matrix that several blocks share is changed at the
/// first of them.
/// @param bench  with its calibration texts
void change_block_by_block(Model& model, const ShortcutBench& bench, Statistics statistics, const ChangeMatrices& change);

/// Changes a matrix's numbers [rows, cols] f32 in place. @param statistics  null where no calibration text was given
using ChangeNumbers = std::function<void(const WeightKey& key, Tensor& numbers, const SharedStatistics& statistics)>;

/// Puts changed numbers in the place of all block matrices, and into the report: block by block with the statistics of their inputs where
/// there is a calibration text, which then also says the output error. A matrix that no row of the text was multiplied by stays as it is.
void change_matrices(Model& model, const ShortcutBench& bench, const std::string& made, const ChangeNumbers& change, ShortcutReport& report);

}  // namespace vitrine
