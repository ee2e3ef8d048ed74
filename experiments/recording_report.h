#pragma once

#include <string>
#include <vector>

#include "core/base/run.h"
#include "core/base/thread_pool.h"
#include "probes/recording.h"

namespace vitrine {

/// What of a recording a report shows.
struct RecordingView {
  std::size_t sequence = 0;
  std::vector<std::string> heads;  ///< "L5H8", whose maps are drawn; none: those with the highest scores
};

/// A recording as HTML below its title: provenance, the text and its log-probabilities, maps of all heads, their scores, some maps, norms of
/// the residual stream; each as far as the file holds it and the key reads it. @param level  of its headings
/// @throws Error (usage) where the view names what the recording does not have
std::string recording_html(const Recording& recording, const RecordingView& view, int level, ThreadPool& pool, Run& run);

}  // namespace vitrine
