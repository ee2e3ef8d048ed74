#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "probes/figures/figure.h"

// What `vitrine patch --json` wrote: one direction or both, cell by cell.

namespace vitrine {

/// Values of one run in the place of another's.
struct SweepDirection {
  std::string name, meaning;  ///< "clean into corrupt", and what 0 and 1 say
  bool into_corrupt = true;
  double clean = 0.0, corrupt = 0.0;  ///< logit differences of the two runs, means over the pairs
  FigureGrid effect, raw;             ///< [layer, column]; raw: logits, patched less the run that was patched
  std::vector<double> low, high;      ///< of the effects; empty where one pair was run
  double level = 0.0;                 ///< of the intervals
  std::string method;                 ///< of the intervals
  /// The effect of a cell that does nothing.
  double idle() const { return into_corrupt ? 0.0 : 1.0; }
  /// The logit difference with the cell patched.
  double patched(std::size_t cell) const { return (into_corrupt ? corrupt : clean) + raw.values[cell]; }
};

/// A cell's place in the model.
struct SweptCell {
  std::size_t layer = 0;
  std::optional<std::size_t> head, position;
};

struct SweepResult {
  std::string sweep, method;  ///< "z"; "patching" or "attribution"
  std::size_t pairs = 0;
  std::vector<SweepDirection> directions;  ///< one or two
  std::vector<std::string> notes;
  Json question, signature;  ///< what was asked; empty objects in files of older versions
};

/// @throws Error where the file does not hold a sweep  @param where  names it
SweepResult read_sweep(const Json& json, const std::string& where);
SweptCell swept_cell(const SweepDirection& direction, std::size_t row, std::size_t column);

/// Shell lines that repeat a cell of a sweep over one pair: a recording of the run that values come from, and a score of the answers with
/// the recorded values in the place of the run's own. Empty where the sweep cannot be repeated so (maps, paths, pairs of a file).
std::vector<std::string> commands_of_cell(const SweepResult& sweep, const SweepDirection& direction, const SweptCell& cell);

}  // namespace vitrine
