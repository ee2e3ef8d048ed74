#include "experiments/scrubbing.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/base/error.h"

namespace vitrine {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return words;
}

/// Of each token that shares bytes with a placeholder.
std::vector<std::int32_t> marks_of(std::span<const Token> tokens, const ScrubbedText& scrubbed, const std::vector<std::string>& labels) {
  std::vector<std::int32_t> marks(tokens.size(), 0);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    for (const ScrubPlan::Finding& place : scrubbed.places) {
      if (tokens[t].begin >= place.bytes.end || tokens[t].end <= place.bytes.begin) continue;
      marks[t] = static_cast<std::int32_t>(std::ranges::find(labels, place.label) - labels.begin()) + 1;
      break;
    }
  }
  return marks;
}

}  // namespace

Json Scrubbing::to_json() const {
  Json list = Json::array(), counts = Json::object();
  for (const std::string& label : labels) list.push(label);
  for (const auto& [label, count] : replaced) counts.set(label, static_cast<std::uint64_t>(count));
  return Json::object().set("labels", std::move(list)).set("replaced", std::move(counts));
}

void declare_scrub(CLI::App& app, std::string& names, std::string& rules, const std::string& what) {
  app.add_flag("--scrub{all}", names, what + "; --scrub=email,phone,... for some (`vitrine list scrubbers`)");
  app.add_option("--scrub-rules", rules, "a JSON file with more of them: [{\"label\": \"STAFF_ID\", \"pattern\": \"\\\\bE\\\\d{6}\\\\b\"}]");
}

ScrubPlan scrub_plan(const std::string& names, const std::string& rules) {
  ScrubPlan plan(names.empty() || names == "all" ? std::vector<std::string>() : words_of(names));
  if (!rules.empty()) plan.add_rules(parse_json(read_file("--scrub-rules", rules), rules), rules);
  return plan;
}

Scrubbing scrub(const std::string& names, const std::string& rules, const Session& session, const TextOptions& options, std::vector<InputText>& inputs) {
  Scrubbing result;
  if (names.empty() && rules.empty()) return result;
  if (!options.ids.empty() || !options.pair.empty()) throw Error({"--scrub", "texts", options.ids.empty() ? "--pair" : "--ids", "give one text each"}, Fault::usage);
  const ScrubPlan plan = scrub_plan(names, rules);
  result.labels = plan.labels();
  for (InputText& input : inputs) {
    const std::vector<ScrubPlan::Finding> findings = plan.find(input.text);
    for (const ScrubPlan::Finding& finding : findings) ++result.replaced[finding.label];
    ScrubbedText text = scrubbed(input.text, findings);
    if (!findings.empty()) input = encode_text(*session.model().tokenizer, text.text, options.bos);
    result.marks.push_back(marks_of(input.tokens, text, result.labels));
  }
  return result;
}

}  // namespace vitrine
