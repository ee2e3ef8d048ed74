#include "probes/scrub/scrubbing.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace vitrine {

ScrubPlan::ScrubPlan(const std::vector<std::string>& names) {
  const auto all = all_scrubbers();
  scrubbers_.assign(all.begin(), all.end());
  if (names.empty()) return;
  std::string known;
  for (const Scrubber* scrubber : all) known += (known.empty() ? "" : ", ") + std::string(scrubber->name);
  for (const std::string& name : names) {
    const auto named = [&](const Scrubber* scrubber) { return scrubber->name == name || scrubber->label == name; };
    if (std::ranges::none_of(all, named)) throw Error({"--scrub", known, quoted(name), ""}, Fault::usage);
  }
  std::erase_if(scrubbers_, [&](const Scrubber* scrubber) {
    return std::ranges::find(names, scrubber->name) == names.end() && std::ranges::find(names, scrubber->label) == names.end();
  });
}

void ScrubPlan::add_rules(const Json& rules, const std::string& where) {
  if (!rules.is_array()) throw Error({where, "a list of objects with label and pattern", "something else", ""});
  for (const Json& rule : rules.items()) {
    const std::string place = where + ", rule " + std::to_string(rules_.size());
    if (!rule["label"].is_string() || !rule["pattern"].is_string()) throw Error({place, "the texts label and pattern", rule.dump(), ""});
    ScrubRule& added = rules_.emplace_back();
    added.label = rule["label"].string();
    const auto plain = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
    if (added.label.empty() || !std::ranges::all_of(added.label, plain)) throw Error({place, "a label of A to Z, 0 to 9 and _", quoted(added.label), ""});
    added.expressions.emplace_back(rule["pattern"].string(), place);
  }
}

std::vector<std::string> ScrubPlan::labels() const {
  std::set<std::string> labels;
  for (const Scrubber* scrubber : scrubbers_) labels.emplace(scrubber->label);
  for (const ScrubRule& rule : rules_) labels.insert(rule.label);
  return {labels.begin(), labels.end()};
}

std::vector<ScrubPlan::Finding> ScrubPlan::find(std::string_view text) const {
  std::vector<Finding> all;
  for (const ScrubRule& rule : rules_) {  // first, so that a user's own name wins where both are as long
    each_match_of(rule.expressions, text, [&](TextRange range) { all.push_back({range, rule.label}); });
  }
  for (const Scrubber* scrubber : scrubbers_) {
    scrubber->find(text, [&](TextRange range) { all.push_back({range, std::string(scrubber->label)}); });
  }
  std::ranges::stable_sort(all, {}, [](const Finding& finding) { return finding.bytes.begin; });
  std::vector<Finding> merged;
  std::size_t longest = 0;  // bytes of what named the last one
  for (Finding& finding : all) {
    const std::size_t size = finding.bytes.size();
    if (merged.empty() || finding.bytes.begin >= merged.back().bytes.end) {
      merged.push_back(std::move(finding));
      longest = size;
      continue;
    }
    Finding& last = merged.back();
    last.bytes.end = std::max(last.bytes.end, finding.bytes.end);
    if (size <= longest) continue;
    last.label = std::move(finding.label);
    longest = size;
  }
  return merged;
}

ScrubbedText scrubbed(std::string_view text, const std::vector<ScrubPlan::Finding>& findings) {
  ScrubbedText result;
  std::size_t done = 0;
  for (const ScrubPlan::Finding& finding : findings) {
    result.text += text.substr(done, finding.bytes.begin - done);
    const std::size_t begin = result.text.size();
    result.text += "<" + finding.label + ">";
    result.places.push_back({{begin, result.text.size()}, finding.label});
    done = finding.bytes.end;
  }
  result.text += text.substr(done);
  return result;
}

}  // namespace vitrine
