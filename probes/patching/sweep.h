#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/model/model_runner.h"
#include "probes/patching/point_values.h"

namespace vitrine {

/// A text and what is asked of it: the logit of `answer` minus that of `wrong` at `position`.
struct PatchQuestion {
  ModelText text;
  TokenId answer = 0, wrong = 0;
  std::size_t position = 0;  ///< of the row whose logits are compared
};

/// What one cell of a sweep replaces: all heads of a row, a head of all rows, or a head of a row.
enum class PatchUnit { position, head, head_position };

/// A point of every block, and what is replaced there at a time.
struct SweepPoint {
  Stack stack = Stack::only;
  AttentionRole role = AttentionRole::self;
  Site site = Site::resid_pre;
  PatchUnit unit = PatchUnit::position;
};

/// Reads `--sweep WORD` (a short name of a point, "cross_" before it of cross attention) and `--by position|head|head_position`, empty:
/// rows where a point has one head, heads else.
/// @throws Error (usage) where the model has no such point or the unit does not fit it
SweepPoint parse_sweep(const ModelSpec& spec, std::string_view word, std::string_view by);

/// A run whose values go into others: the logit difference and the values of a point in every block.
struct SourceRun {
  double difference = 0.0;  ///< in logits
  PointValues values;
};
SourceRun run_source(const ModelRunner& runner, const PatchQuestion& question, const SweepPoint& point);

/// A sweep over one text: cell by cell the logit difference with the source's values in place of the text's own.
struct PatchSweep {
  double base = 0.0;    ///< logit difference of the text as it is
  double source = 0.0;  ///< of the run that values were taken from
  std::size_t layers = 0, columns = 0;
  std::vector<double> patched;  ///< [layers, columns] logit differences; columns are positions, heads, or heads x positions
  std::size_t passes = 0;       ///< runs of the model that a loop over cells would have made
};

/// Runs the text once, then for each cell only what the replaced value can change: blocks from the patched one on, under a causal mask
/// rows from the patched one on (behind the first token in which both texts differ; `first_changed`), many cells in one pass.
/// Under exact precision the numbers are those of whole runs, bit by bit.
/// @param first_changed  rows before it have the same values in both runs
/// @throws Error where the source has not as many rows as the text; Cancelled
PatchSweep run_sweep(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point,
                     std::size_t first_changed);

/// The first position in which two texts differ (their length where they do not).
/// @throws Error (usage) where they are not of one length
std::size_t first_difference(const ModelText& a, const ModelText& b);

}  // namespace vitrine
