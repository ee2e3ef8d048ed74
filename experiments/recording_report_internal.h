#pragma once

#include "experiments/recording_report.h"

namespace vitrine {

/// What each part of the report is given.
struct RecordingReport {
  const Recording& recording;
  const RecordingView& view;
  int level;
  ThreadPool& pool;
  Run& run;
};

/// Thumbnails, scores and chosen maps.
std::string heads_html(const RecordingReport& report);
/// Norms of the residual stream.
std::string norms_html(const RecordingReport& report);

}  // namespace vitrine
