#include "experiments/data/mediation_items.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/csv.h"

namespace vitrine {
namespace {

// ---- The published JSON ------------------------------------------------------------------------------------------------------------

double number_of(const Json& json, std::string_view key, std::string_view where) {
  if (!json[key].is_number()) throw Error({std::string(where), "a number " + quoted(key), json[key].is_null() ? "none" : "something else", ""});
  return json[key].number();
}

std::string text_of(const Json& json, std::string_view key, std::string_view where) {
  if (!json[key].is_string()) throw Error({std::string(where), "a text " + quoted(key), json[key].is_null() ? "none" : "something else", ""});
  return json[key].string();
}

std::vector<std::vector<double>> matrix_of(const Json& json, std::string_view where) {
  std::vector<std::vector<double>> rows;
  if (!json.is_array()) return rows;
  for (const Json& row : json.items()) {
    if (!row.is_array()) throw Error({std::string(where), "effects by layer and head", "something else", ""});
    std::vector<double>& numbers = rows.emplace_back();
    for (const Json& value : row.items()) {
      if (!value.is_number()) throw Error({std::string(where), "effects by layer and head", "something that is no number", ""});
      numbers.push_back(value.number());
    }
  }
  return rows;
}

PublishedEffects effects_of(const Json& item, std::string_view where) {
  PublishedEffects effects;
  effects.probabilities = {number_of(item, "candidate1_base_prob", where), number_of(item, "candidate2_base_prob", where),
                           number_of(item, "candidate1_alt_prob", where), number_of(item, "candidate2_alt_prob", where)};
  effects.total = number_of(item, "total_effect", where);
  effects.indirect = number_of(item, "indirect_effect_model", where);
  effects.direct = number_of(item, "direct_effect_model", where);
  effects.indirect_head = matrix_of(item["indirect_effect_head"], where);
  effects.direct_head = matrix_of(item["direct_effect_head"], where);
  effects.indirect_odds_head = matrix_of(item["indirect_odds_head"], where);
  effects.direct_odds_head = matrix_of(item["direct_odds_head"], where);
  return effects;
}

/// The published files join a candidate's tokens by spaces: "tried the best ." was "tried the best.". A word of several tokens stays apart.
std::string candidate_of(std::string text) {
  if (text.ends_with(" .")) text.erase(text.size() - 2, 1);
  return text;
}

MediationSet read_published(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  if (!json["results"].is_array()) throw Error({std::string(where), "the published form, with \"results\"", "none", ""});
  const auto count = [&](std::string_view key) { return static_cast<std::size_t>(number_of(json, key, where)); };
  MediationSet set{.name = "", .license = "The items were read from a file; their licence is their publisher's.", .cluster_unit = "base text", .items = {}};
  set.published = PublishedSummary{.model = text_of(json, "model_version", where),
                                   .filtered = json["do_filter"].is_bool() && json["do_filter"].boolean(),
                                   .loaded = count("num_examples_loaded"),
                                   .aligned = json["num_examples_aligned"].is_number() ? count("num_examples_aligned") : 0,
                                   .analyzed = count("num_examples_analyzed"),
                                   .threshold = json["threshold"].is_number() ? std::optional(json["threshold"].number()) : std::nullopt,
                                   .total = number_of(json, "mean_total_effect", where),
                                   .indirect = number_of(json, "mean_model_indirect_effect", where),
                                   .direct = number_of(json, "mean_model_direct_effect", where)};
  for (const Json& item : json["results"].items()) {
    const std::string at = std::string(where) + ", result " + std::to_string(set.items.size());
    set.items.push_back({std::to_string(set.items.size()), text_of(item, "base_string1", at), text_of(item, "base_string2", at),
                         candidate_of(text_of(item, "candidate1", at)), candidate_of(text_of(item, "candidate2", at)), text_of(item, "base_string1", at), effects_of(item, at)});
  }
  return set;
}

// ---- WinoBias ----------------------------------------------------------------------------------------------------------------------

struct Sentence {
  std::string before, pronoun, after;  // of its one pronoun in brackets; brackets taken away
};

const std::map<std::string, std::string, std::less<>>& exchanged() {  // she -> he; which "her" is meant follows from the other sentence
  static const std::map<std::string, std::string, std::less<>> table{{"she", "he"}, {"he", "she"}, {"her", "his"}, {"his", "her"}, {"him", "her"}};
  return table;
}

/// None where the sentence has more in brackets than a person and a pronoun ("[himself]"), or no pronoun.
std::optional<Sentence> parse_winobias(std::string_view line) {
  if (std::ranges::count(line, '[') != 2) return std::nullopt;
  Sentence sentence;
  bool found = false;
  line.remove_prefix(std::min(line.size(), line.find(' ') + 1));
  while (!line.empty()) {
    const std::size_t open = line.find('['), close = line.find(']', std::min(line.size(), open));
    std::string& target = found ? sentence.after : sentence.before;
    target += line.substr(0, open);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    const std::string_view word = line.substr(open + 1, close - open - 1);
    line.remove_prefix(close + 1);
    if (!exchanged().contains(word)) {
      target += word;
      continue;
    }
    if (found) return std::nullopt;
    sentence.pronoun = word;
    found = true;
  }
  while (!sentence.after.empty() && (sentence.after.back() == '\r' || sentence.after.back() == ' ')) sentence.after.pop_back();
  if (!found || sentence.after.size() < 2) return std::nullopt;
  return sentence;
}

std::string without_margin(std::string text) { return text.erase(0, text.find_first_not_of(' ')); }

bool feminine(std::string_view pronoun) { return pronoun == "she" || pronoun == "her"; }

MediationSet read_winobias(std::string_view text) {
  MediationSet set{.name = "", .license = "The items were read from a file; their licence is their publisher's.", .cluster_unit = "sentence pair", .items = {}};
  std::vector<std::optional<Sentence>> sentences;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.empty()) sentences.push_back(parse_winobias(line));
  }
  for (std::size_t i = 0; i + 1 < sentences.size(); i += 2) {
    const auto& [a, b] = std::tie(sentences[i], sentences[i + 1]);
    if (!a || !b || a->before != b->before || feminine(a->pronoun) == feminine(b->pronoun) || exchanged().at(a->pronoun) != b->pronoun) continue;
    const Sentence &hers = feminine(a->pronoun) ? *a : *b, &his = feminine(a->pronoun) ? *b : *a;
    set.items.push_back({std::to_string(i / 2), hers.before + hers.pronoun, his.before + his.pronoun, without_margin(hers.after), without_margin(his.after),
                         std::to_string(i / 2)});
  }
  return set;
}

// ---- Comma-separated values --------------------------------------------------------------------------------------------------------

MediationSet read_csv(std::string_view text, std::string_view where) {
  const Csv csv = parse_csv(text, where);
  const char* advice = "the columns are base, alternative, candidate1, candidate2 and perhaps cluster";
  const std::size_t base = csv.column("base", where, advice), alternative = csv.column("alternative", where, advice),
                    first = csv.column("candidate1", where, advice), second = csv.column("candidate2", where, advice);
  const bool clustered = csv.has("cluster");
  MediationSet set{.name = "", .license = "The items were read from a file; their licence is their publisher's.", .cluster_unit = clustered ? "cluster" : "item", .items = {}};
  for (std::size_t r = 0; r < csv.rows.size(); ++r) {
    const auto& row = csv.rows[r];
    if (row[base].empty() || row[alternative].empty() || row[first].empty() || row[second].empty()) {
      throw Error({std::string(where) + ", line " + std::to_string(csv.lines[r]), "two texts and two candidates", "an empty one", ""});
    }
    set.items.push_back({std::to_string(r), row[base], row[alternative], row[first], row[second], clustered ? row[csv.column("cluster", where)] : std::to_string(r)});
  }
  return set;
}

}  // namespace

MediationSet read_mediation_items(std::string_view text, std::string_view where) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && text[first] == '{';
  const bool winobias = first != std::string_view::npos && text.substr(first, text.find('\n', first) - first).find('[') != std::string_view::npos;
  MediationSet set = json ? read_published(text, where) : winobias ? read_winobias(text) : read_csv(text, where);
  if (set.items.empty()) throw Error({std::string(where), "at least one item", "none", "see `vitrine study mediation --help`"});
  return set;
}

}  // namespace vitrine
