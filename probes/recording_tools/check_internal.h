#pragma once

#include "probes/recording_tools/check.h"
#include "probes/recording_tools/stored_datasets_internal.h"

namespace vitrine {

/// What each part of a check gets: what it looks at, and where it writes what it finds.
struct Check {
  const StoredRecording& stored;
  const CheckOptions& options;
  CheckResult& result;
  Run& progress;

  const Recording& recording() const { return *stored.recording; }
  void find(std::string where, const std::string& expected, const std::string& found) const {
    result.findings.push_back({std::move(where), "expected " + expected + ", found " + found});
  }
};

/// Names, types, axes, links, labels and lengths. (check_structure.cpp)
void check_structure(const Check& check);
/// Tokens, their borders and probabilities. (check_tokens.cpp)
void check_tokens(const Check& check);
/// Activations and factors: which numbers may not be finite; maps that were stored whole. (check_numbers.cpp)
void check_numbers(const Check& check);
/// Factors against normalisers, statistics, values and outputs of sampled rows; summaries. (check_attention.cpp)
void check_attention(const Check& check);

}  // namespace vitrine
