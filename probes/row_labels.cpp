#include "probes/row_labels.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// A token's bytes behind its spaces.
std::string_view bare(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

bool is_punctuation(std::string_view text) {
  return !bare(text).empty() && std::ranges::all_of(bare(text), [](char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; });
}

/// A label of one row from the tokens of its text; none where it is not defined.
using Rule = std::optional<bool> (*)(const std::vector<std::string>& texts, std::size_t row);

const std::map<std::string, Rule>& rules() {
  static const std::map<std::string, Rule> table{
      {"capital",
       [](const std::vector<std::string>& texts, std::size_t row) -> std::optional<bool> {
         return !bare(texts[row]).empty() && std::isupper(static_cast<unsigned char>(bare(texts[row]).front())) != 0;
       }},
      {"digit",
       [](const std::vector<std::string>& texts, std::size_t row) -> std::optional<bool> {
         return std::ranges::any_of(texts[row], [](char c) { return c >= '0' && c <= '9'; });
       }},
      {"punctuation", [](const std::vector<std::string>& texts, std::size_t row) -> std::optional<bool> { return is_punctuation(texts[row]); }},
      {"next_punctuation",
       [](const std::vector<std::string>& texts, std::size_t row) -> std::optional<bool> {
         return row + 1 < texts.size() ? std::optional(is_punctuation(texts[row + 1])) : std::nullopt;
       }},
      {"word_start", [](const std::vector<std::string>& texts, std::size_t row) -> std::optional<bool> { return texts[row].starts_with(' '); }},
      {"even_position", [](const std::vector<std::string>&, std::size_t row) -> std::optional<bool> { return row % 2 == 0; }},
  };
  return table;
}

void add(RowLabels& labels, const Recording& recording, std::size_t sequence, std::size_t position, double label) {
  labels.rows.rows.push_back(recording.rows_of(sequence).begin + position);
  labels.rows.sequence.push_back(sequence);
  labels.labels.push_back(label);
  labels.tokens.push_back(recording.token_ids(sequence)[position]);
  labels.binary = labels.binary && (label == 0.0 || label == 1.0);
}

RowLabels by_rule(const Recording& recording, Rule rule, std::size_t most_rows) {
  RowLabels labels;
  const RowChoice choice = choose_rows(recording, most_rows, FirstRows::without);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < choice.rows.size(); ++i) {
    const std::size_t sequence = choice.sequence[i];
    if (i == 0 || sequence != choice.sequence[i - 1]) texts = recording.token_texts(sequence);
    const std::size_t position = choice.rows[i] - recording.rows_of(sequence).begin;
    if (const std::optional<bool> label = rule(texts, position)) add(labels, recording, sequence, position, *label ? 1.0 : 0.0);
  }
  return labels;
}

RowLabels from_file(const Recording& recording, const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw Error({path, "a CSV file of sequence,position,label", "none that can be read", ""});
  std::map<std::pair<std::size_t, std::size_t>, double> rows;  // in the order of the recording
  for (std::size_t number = 2; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::size_t sequence = 0, position = 0;
    double label = 0.0;
    char first = 0, second = 0, rest = 0;
    const std::string where = path + ", line " + std::to_string(number);
    if (!(words >> sequence >> first >> position >> second >> label) || first != ',' || second != ',' || words >> rest || !std::isfinite(label)) {
      throw Error({where, "sequence,position,label as numbers", quoted(line), ""});
    }
    if (sequence >= recording.sequences() || position >= recording.rows_of(sequence).count)
      throw Error({where, "a row of the recording", quoted(line), "both count from 0"});
    if (!rows.emplace(std::pair(sequence, position), label).second) throw Error({where, "one label a row", "a second for " + quoted(line), ""});
  }
  RowLabels labels;
  for (const auto& [place, label] : rows) add(labels, recording, place.first, place.second, label);
  return labels;
}

}  // namespace

RowLabels read_labels(const Recording& recording, const std::string& word, std::size_t most_rows) {
  const auto found = rules().find(word);
  if (found != rules().end()) return by_rule(recording, found->second, most_rows);
  if (word.ends_with(".csv")) return from_file(recording, word);
  std::string known;
  for (const auto& [name, rule] : rules()) known += name + ", ";
  throw Error({"--set label", known + "or a .csv file of sequence,position,label", quoted(word), ""}, Fault::usage);
}

}  // namespace vitrine
