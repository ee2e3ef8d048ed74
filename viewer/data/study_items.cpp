#include "viewer/data/study_items.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <set>

#include "viewer/data/tokens.h"

namespace vitrine {
namespace {

constexpr std::size_t most_sequences = 64;
constexpr std::string_view control_group = "control";

bool has_value(const ItemTable& items, std::string_view column, std::string_view value) {
  const std::size_t place = items.column(column);
  return place < items.columns() && std::ranges::any_of(items.csv.rows, [&](const auto& row) { return row[place] == value; });
}

/// "age" of "age: association part"; empty where nothing stands before a colon.
std::string prefix_of(const std::string& name) {
  const std::size_t colon = name.find(':');
  return colon == std::string::npos ? "" : name.substr(0, colon);
}

/// Whether the recorded bytes are the sentence's: a tokenizer may put a space or a BOS before it.
bool is_text(const Recording& recording, std::size_t sequence, const std::string& sentence) {
  const std::vector<std::string> texts = recording.token_texts(sequence);
  std::string all;
  for (const std::string& text : texts) all += text;
  if (texts.empty() || !all.ends_with(sentence)) return false;
  const std::string before = all.substr(0, all.size() - sentence.size());
  return before.empty() || before == " " || before == texts.front() || before == texts.front() + " ";
}

}  // namespace

double PairLine::difference() const {
  const auto counted = [](double value) { return std::isnan(value) ? 0.0 : value; };
  return counted(more_log_probability) - counted(less_log_probability);
}

std::vector<std::size_t> rows_behind(const Estimate& estimate, const ItemTable& items) {
  const std::string prefix = prefix_of(estimate.name);
  const bool controls = has_value(items, "group", control_group), of_control = controls && estimate.name.starts_with("control");
  const bool of_group = !of_control && !prefix.empty() && has_value(items, "group", prefix);
  const bool of_direction = !of_control && !of_group && !prefix.empty() && has_value(items, "direction", prefix);
  const bool equal_length = estimate.name.find("equal length") != std::string::npos;
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < items.rows(); ++row) {
    const std::string& group = items.cell(row, "group");
    if (of_group ? group != prefix : controls && (group == control_group) != of_control) continue;
    if (of_direction && items.cell(row, "direction") != prefix) continue;
    if (equal_length && items.number(row, "tokens_more") != items.number(row, "tokens_less")) continue;
    rows.push_back(row);
  }
  return rows;
}

std::size_t column_behind(const Estimate& estimate, const ItemTable& items) {
  const auto says = [&](const char* words) { return estimate.name.find(words) != std::string::npos; };
  const bool whole = says("whole difference") || (says("sign rate") && !says("association"));
  const std::array wanted{says("term part") ? "term_part" : whole ? "difference" : says("direct effect") && !says("indirect") ? "direct_all" : says("indirect") ? "indirect_all" : "association_part",
                          "association_part", "total", "difference"};
  for (const char* name : wanted) {
    const std::size_t place = items.column(name);
    if (place < items.columns() && items.is_number(place)) return place;
  }
  for (std::size_t c = 1; c < items.columns(); ++c) {
    if (items.is_number(c)) return c;
  }
  return 0;
}

bool is_competence(const Estimate& estimate) { return estimate.name.starts_with("competence"); }

std::vector<PairLine> align(const std::vector<std::int32_t>& more, const std::vector<std::int32_t>& less, const std::vector<float>& more_log_probabilities,
                            const std::vector<float>& less_log_probabilities) {
  std::size_t prefix = 0, rest = 0;
  const std::size_t shorter = std::min(more.size(), less.size());
  while (prefix < shorter && more[prefix] == less[prefix]) ++prefix;
  while (rest + prefix < shorter && more[more.size() - 1 - rest] == less[less.size() - 1 - rest]) ++rest;
  const auto value = [](const std::vector<float>& values, std::size_t at) { return at < values.size() ? static_cast<double>(values[at]) : std::nan(""); };
  std::vector<PairLine> lines;
  const auto add = [&](PairLine::Part part, std::optional<std::size_t> a, std::optional<std::size_t> b) {
    lines.push_back({part, a, b, a ? value(more_log_probabilities, *a) : std::nan(""), b ? value(less_log_probabilities, *b) : std::nan("")});
  };
  for (std::size_t i = 0; i < prefix; ++i) add(PairLine::Part::prefix, i, i);
  const std::size_t more_changed = more.size() - prefix - rest, less_changed = less.size() - prefix - rest;
  for (std::size_t i = 0; i < std::max(more_changed, less_changed); ++i) {
    add(PairLine::Part::changed, i < more_changed ? std::optional(prefix + i) : std::nullopt, i < less_changed ? std::optional(prefix + i) : std::nullopt);
  }
  for (std::size_t i = rest; i > 0; --i) add(PairLine::Part::rest, more.size() - i, less.size() - i);
  return lines;
}

std::optional<RecordedPair> find_pair(const std::vector<std::shared_ptr<const Document>>& documents, const std::string& more, const std::string& less) {
  if (more.empty() || less.empty()) return std::nullopt;
  for (const auto& document : documents) {
    if (!document->recording || document->recording->sequences() > most_sequences || !document->recording->may_read(DataClass::text)) continue;
    const Recording& recording = *document->recording;
    std::optional<std::size_t> first, second;
    for (std::size_t s = 0; s < recording.sequences(); ++s) {
      if (recording.rows_of(s).count > std::max(more.size(), less.size()) + 2) continue;  // more tokens than there are bytes
      if (!first && is_text(recording, s, more)) first = s;
      if (!second && is_text(recording, s, less)) second = s;
    }
    if (!first || !second || first == second || recording.log_probabilities(*first).empty()) continue;
    RecordedPair pair;
    pair.document = document, pair.more_sequence = *first, pair.less_sequence = *second;
    const Tokens a = tokens_of(*document, *first), b = tokens_of(*document, *second);
    pair.more_labels = a.labels, pair.less_labels = b.labels;
    pair.lines = align(a.ids, b.ids, recording.log_probabilities(*first), recording.log_probabilities(*second));
    for (const PairLine& line : pair.lines) (line.part == PairLine::Part::rest ? pair.association : pair.term) += line.difference();
    return pair;
  }
  return std::nullopt;
}

std::vector<HeadEffect> head_effects(const Document& study) {
  std::vector<HeadEffect> effects;
  if (!study.json["tables"].is_array()) return effects;
  for (const Json& table : study.json["tables"].items()) {
    if (!table["rows"].is_array()) continue;
    for (const Json& row : table["rows"].items()) {
      HeadEffect effect;
      int read = 0;
      if (!row["set"].is_string() || !row["indirect"].is_number()) continue;
      const std::string& set = row["set"].string();
      if (std::sscanf(set.c_str(), "L%zuH%zu%n", &effect.layer, &effect.head, &read) != 2 || static_cast<std::size_t>(read) != set.size()) continue;
      effect.value = row["indirect"].number();
      effect.low = row["low"].is_number() ? row["low"].number() : std::nan("");
      effect.high = row["high"].is_number() ? row["high"].number() : std::nan("");
      effects.push_back(effect);
    }
  }
  std::ranges::stable_sort(effects, {}, [](const HeadEffect& each) { return -std::abs(each.value); });
  return effects;
}

}  // namespace vitrine
