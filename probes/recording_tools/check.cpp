#include "probes/recording_tools/check.h"

#include "core/base/error.h"
#include "probes/recording_tools/check_internal.h"

namespace vitrine {

CheckResult check_recording(const std::filesystem::path& run, const CheckOptions& options, Run& progress) {
  CheckResult result;
  try {
    const StoredRecording stored(run);
    result.finished = stored.recording->finished();
    result.sequences = stored.recording->sequences();
    result.rows = stored.rows(Recording::Side::text);
    result.datasets = stored.datasets.size();
    if (!result.finished)
      result.notes.push_back("unfinished: what is checked are the " + std::to_string(result.rows) +
                             " committed rows; `vitrine h5 repair` makes a finished file of them");
    const Check check{stored, options, result, progress};
    for (const auto part : {check_structure, check_tokens, check_numbers, check_attention}) {
      try {
        part(check);
      } catch (const Error& error) {  // the part cannot go on; the others may
        result.findings.push_back({"file", error.what()});
      }
    }
  } catch (const Error& error) {
    result.findings.push_back({"file", error.what()});
  }
  return result;
}

}  // namespace vitrine
