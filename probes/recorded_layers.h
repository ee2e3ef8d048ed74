#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/linear_algebra.h"
#include "probes/recording.h"

namespace vitrine {

/// One layer's values of a kind in a recording.
struct RecordedLayer {
  std::string label;  ///< "embed", "0", "1", ... as residual_labels(), or the block
  const Recording::Dataset* dataset;
  std::size_t width;  ///< heads * d_head where it has heads
};

/// Layers of the text's rows: `resid` is the residual stream before the first block and behind each; other words are the last part of a
/// hook's name without "hook_" (attn_out, mlp_out, z, post, ...), or a full name.
/// @throws Error where the recording has none, naming what there is
std::vector<RecordedLayer> recorded_layers(const Recording& recording, const std::string& word);

/// Which rows of a recording are looked at, and whose they are.
struct RowChoice {
  std::vector<std::size_t> rows;      ///< in the concatenated rows, rising
  std::vector<std::size_t> sequence;  ///< of each
};
/// All rows, or `most` of them evenly; the first of each text, which holds the sink of attention, only where `with_first` says so.
enum class FirstRows { with, without };
RowChoice choose_rows(const Recording& recording, std::size_t most, FirstRows first);

/// [rows of the choice, width]
FloatMatrix values_of(const Recording& recording, const RecordedLayer& layer, const RowChoice& choice);
Matrix as_double(const FloatMatrix& a);

/// Two recordings of the same texts. @throws Error where a token differs
void require_same_texts(const Recording& a, const Recording& b);

}  // namespace vitrine
