#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "probes/scrub/scrubbing.h"

namespace vitrine {

/// A text in which somebody marked personal data.
struct MarkedText {
  std::string text;
  std::vector<ScrubPlan::Finding> spans;  ///< bytes of the text, and labels as scrubbers have them
  std::int64_t group = 0;                 ///< texts of one template have one number
};

/// The format of presidio-research: a list of {"full_text", "spans": [{"entity_type", "start_position", "end_position"}],
/// "template_id"}, positions in characters. @throws Error naming the text
std::vector<MarkedText> read_marked_texts(const Json& json, const std::string& where);

/// Counts of one label. A span counts once.
struct ScrubCounts {
  std::size_t marked = 0, found = 0;
  std::size_t exact = 0;          ///< the same bytes and label
  std::size_t met = 0;            ///< marked spans that share bytes with a finding of their label
  std::size_t meeting = 0;        ///< findings that share bytes with a marked span of their label
  std::size_t covered = 0;        ///< marked spans no byte of which would remain, whatever the findings are called
};
struct ScrubScores {
  double precision = 0.0, recall = 0.0, f2 = 0.0;
};
/// F2 = 5 P R / (4 P + R): recall weighs twice (van Rijsbergen 1979). NaN where nothing was found and nothing marked.
ScrubScores exact_scores(const ScrubCounts& counts);
ScrubScores overlap_scores(const ScrubCounts& counts);

/// By label, and of all under "all". @throws Error as ScrubPlan::find
std::map<std::string, ScrubCounts> evaluate_scrubbing(const ScrubPlan& plan, std::span<const MarkedText> texts);

}  // namespace vitrine
