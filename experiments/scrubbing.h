#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "experiments/session.h"
#include "probes/scrub/scrubbing.h"

namespace vitrine {

/// What was replaced in the texts of a run, before it.
struct Scrubbing {
  std::vector<std::string> labels;  ///< that were looked for; none: nothing was
  std::vector<std::vector<std::int32_t>> marks;  ///< of each text's tokens: 0, or 1 + the place of a label
  std::map<std::string, std::size_t> replaced;   ///< findings by label
  bool on() const { return !labels.empty(); }
  Json to_json() const;
};

/// --scrub and --scrub-rules. @param what  is replaced when
void declare_scrub(CLI::App& app, std::string& names, std::string& rules, const std::string& what = "replace personal data in the texts before the run");

/// @param names  of `vitrine list scrubbers`, with commas; "all"  @param rules  a file, or nothing  @throws Error
ScrubPlan scrub_plan(const std::string& names, const std::string& rules);

/// Replaces what is found in the texts by placeholders and tokenises them anew, so that the model never sees it.
/// @param names, rules  as of scrub_plan; both empty: nothing is done
/// @throws Error (usage) where inputs are no texts
Scrubbing scrub(const std::string& names, const std::string& rules, const Session& session, const TextOptions& options, std::vector<InputText>& inputs);

}  // namespace vitrine
