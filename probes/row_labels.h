#pragma once

#include <string>
#include <vector>

#include "probes/recorded_layers.h"

namespace vitrine {

/// What a probe is to read off rows.
struct RowLabels {
  RowChoice rows;                    ///< those that have a label
  std::vector<double> labels;        ///< 0 or 1, or any numbers
  std::vector<std::int32_t> tokens;  ///< of the rows
  bool binary = true;
};

/// Labels of a recording's rows: built in (`capital`, `digit`, `punctuation`, `next_punctuation`, `word_start`, `even_position`), or a CSV
/// file of sequence, position, label (numbers, counted from 0, with a header).
/// @throws Error where a word or file names none, or a row that is not there
RowLabels read_labels(const Recording& recording, const std::string& word, std::size_t most_rows);

}  // namespace vitrine
