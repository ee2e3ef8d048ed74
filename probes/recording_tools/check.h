#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/run.h"

namespace vitrine {

struct CheckOptions {
  std::size_t sampled_rows = 16;  ///< of each head whose maps are rebuilt, spread over all sequences
};

/// What a recording does not hold of what FORMAT.md promises.
struct CheckResult {
  struct Finding {
    std::string where;  ///< dataset, group or attribute
    std::string what;   ///< "expected ..., found ..."
  };
  std::vector<Finding> findings;
  std::vector<std::string> notes;  ///< what is allowed, but good to know: an unfinished file, datasets of unknown names
  bool finished = false;
  std::size_t sequences = 0, rows = 0, datasets = 0;
  std::size_t numbers = 0;     ///< that were looked at
  std::size_t maps_rows = 0;   ///< rows of attention maps that were rebuilt
  double worst_row_sum = 0.0;  ///< |sum of a rebuilt row - 1|
  double worst_output = 0.0;   ///< relative error of rebuilt rows times values against the stored head outputs
};

/// Opens the file as Recording does and goes through every number. @throws Cancelled; a file that does not open is a finding
CheckResult check_recording(const std::filesystem::path& run, const CheckOptions& options, Run& progress);

}  // namespace vitrine
