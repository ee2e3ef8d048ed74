#include "probes/scrub/evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

/// What presidio-research calls by several names, as scrubbers call it.
std::string label_of(const std::string& type) {
  if (type == "ADDRESS") return "STREET_ADDRESS";
  return type == "LOCATION" ? "GPE" : type;
}

/// The byte at which each character begins, and one past the last.
std::vector<std::size_t> character_starts(std::string_view text) {
  std::vector<std::size_t> starts;
  for (std::size_t at = 0; at < text.size(); at += character_size(text, at)) starts.push_back(at);
  starts.push_back(text.size());
  return starts;
}

ScrubPlan::Finding span_of(const Json& span, const std::vector<std::size_t>& starts, const std::string& where) {
  const Json &begin = span["start_position"], &end = span["end_position"];
  if (!span["entity_type"].is_string() || !begin.is_integer() || !end.is_integer()) throw Error({where, "entity_type, start_position and end_position of each span", span.dump(), ""});
  const std::int64_t last = static_cast<std::int64_t>(starts.size()) - 1;
  if (begin.integer() < 0 || end.integer() < begin.integer() || end.integer() > last) throw Error({where, "spans inside the text", span.dump(), ""});
  return {{starts[static_cast<std::size_t>(begin.integer())], starts[static_cast<std::size_t>(end.integer())]}, label_of(span["entity_type"].string())};
}

bool meet(const TextRange& a, const TextRange& b) { return a.begin < b.end && b.begin < a.end; }

ScrubScores scores(double precise, double found, double recalled, double marked) {
  ScrubScores result;
  const double none = std::numeric_limits<double>::quiet_NaN();
  result.precision = found > 0 ? precise / found : none;
  result.recall = marked > 0 ? recalled / marked : none;
  const double p = std::isnan(result.precision) ? 0.0 : result.precision, r = std::isnan(result.recall) ? 0.0 : result.recall;
  result.f2 = found + marked == 0 ? none : p + r > 0 ? 5 * p * r / (4 * p + r) : 0.0;
  return result;
}

}  // namespace

std::vector<MarkedText> read_marked_texts(const Json& json, const std::string& where) {
  if (!json.is_array()) throw Error({where, "a list of texts with spans", "something else", ""});
  std::vector<MarkedText> texts;
  for (const Json& item : json.items()) {
    const std::string place = where + ", text " + std::to_string(texts.size());
    if (!item["full_text"].is_string() || !item["spans"].is_array()) throw Error({place, "full_text and spans", "others", ""});
    MarkedText& text = texts.emplace_back();
    text.text = item["full_text"].string();
    text.group = item["template_id"].is_integer() ? item["template_id"].integer() : static_cast<std::int64_t>(texts.size()) - 1;
    const std::vector<std::size_t> starts = character_starts(text.text);
    for (const Json& span : item["spans"].items()) text.spans.push_back(span_of(span, starts, place));
  }
  return texts;
}

ScrubScores exact_scores(const ScrubCounts& c) {
  return scores(static_cast<double>(c.exact), static_cast<double>(c.found), static_cast<double>(c.exact), static_cast<double>(c.marked));
}

ScrubScores overlap_scores(const ScrubCounts& c) {
  return scores(static_cast<double>(c.meeting), static_cast<double>(c.found), static_cast<double>(c.met), static_cast<double>(c.marked));
}

std::map<std::string, ScrubCounts> evaluate_scrubbing(const ScrubPlan& plan, std::span<const MarkedText> texts) {
  std::map<std::string, ScrubCounts> counts;
  const auto add = [&](const std::string& label, std::size_t ScrubCounts::*what, bool counts_for) {
    if (!counts_for) return;
    ++(counts[label].*what);
    ++(counts["all"].*what);
  };
  for (const MarkedText& text : texts) {
    const std::vector<ScrubPlan::Finding> findings = plan.find(text.text);
    for (const ScrubPlan::Finding& span : text.spans) {
      add(span.label, &ScrubCounts::marked, true);
      const auto same = [&](const auto& f) { return f.label == span.label && f.bytes == span.bytes; };
      const auto meets = [&](const auto& f) { return f.label == span.label && meet(f.bytes, span.bytes); };
      const auto covers = [&](const auto& f) { return f.bytes.begin <= span.bytes.begin && span.bytes.end <= f.bytes.end; };
      add(span.label, &ScrubCounts::exact, std::ranges::any_of(findings, same));
      add(span.label, &ScrubCounts::met, std::ranges::any_of(findings, meets));
      add(span.label, &ScrubCounts::covered, std::ranges::any_of(findings, covers));
    }
    for (const ScrubPlan::Finding& finding : findings) {
      add(finding.label, &ScrubCounts::found, true);
      const auto meets = [&](const auto& span) { return span.label == finding.label && meet(span.bytes, finding.bytes); };
      add(finding.label, &ScrubCounts::meeting, std::ranges::any_of(text.spans, meets));
    }
  }
  return counts;
}

}  // namespace vitrine
