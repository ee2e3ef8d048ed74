#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/head_maps.h"

// Where a head's weight goes, by kind of key. Each visible key of row i has the first kind of this list that fits:
//   first        key 0 (BOS, where there is one)
//   self         j = i
//   same token   the row's own token, elsewhere
//   special      bytes in <...> or [...], or none at all
//   space        white space alone
//   digits       digits alone, behind spaces
//   punctuation  neither letters, digits nor bytes from 128 on, behind spaces
//   word start   what begins with a space
//   inside word  the rest
// A share is the mean over rows of the weight on a kind. Beside it stands what a head that looks at all visible keys alike would give, the
// control of a quantity that cannot be negative. Intervals are over sequences. Source: the classes are this project's own; of Clark et al.
// 2019 (arXiv:1906.04341) are those of [SEP], punctuation and self.

namespace vitrine {
namespace {

constexpr std::array<std::string_view, 9> kinds{"first",  "self",        "same token", "special",    "space",
                                                "digits", "punctuation", "word start", "inside word"};
enum Kind : std::size_t { first, self, same, special, space, digits, punctuation, word_start, inside };
using Shares = std::array<double, kinds.size()>;

Kind kind_of(std::string_view text) {
  const auto all = [](std::string_view part, auto is) {
    return std::ranges::all_of(part, [&](char c) { return is(static_cast<unsigned char>(c)); });
  };
  if (text.empty() || (text.size() > 2 && ((text.front() == '<' && text.back() == '>') || (text.front() == '[' && text.back() == ']'))))
    return special;
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  if (all(text, is_space)) return space;
  std::string_view bare = text;
  while (is_space(static_cast<unsigned char>(bare.front()))) bare.remove_prefix(1);
  if (all(bare, [](unsigned char c) { return c >= '0' && c <= '9'; })) return digits;
  if (all(bare, [](unsigned char c) { return c < 128 && std::ispunct(c) != 0; })) return punctuation;
  return bare.size() < text.size() ? word_start : inside;
}

/// Tokens of a sequence and their kinds, before the row is known.
struct Text {
  std::vector<std::int32_t> ids;
  std::vector<Kind> kinds;

  Kind at(std::size_t row, std::size_t key) const {
    if (key == 0) return first;
    if (key == row) return self;
    return ids[key] == ids[row] ? same : kinds[key];
  }
};

Text text_of(const Recording& recording, std::size_t sequence) {
  Text text{recording.token_ids(sequence), {}};
  for (const std::string& token : recording.token_texts(sequence)) text.kinds.push_back(kind_of(token));
  return text;
}

Shares shares_of(const Recording::Head& head, const Text& text) {
  Shares shares{};
  each_map_row(head, text.ids.size(), [&](std::size_t i, std::span<const float> weights) {
    for (std::size_t j = 0; j < weights.size(); ++j) {
      if (weights[j] != 0.0f) shares[text.at(i, j)] += weights[j] / static_cast<double>(text.ids.size());
    }
  });
  return shares;
}

/// Of a head that looks at all visible keys alike.
Shares even_shares(const Recording::Head& head, const Text& text) {
  Shares shares{};
  const PatternFactors& factors = head.factors;
  for (std::size_t i = 0; i < text.ids.size(); ++i) {
    const RowMask mask(factors.score, factors.rule, factors.q_start, i, text.ids.size());
    std::array<double, kinds.size()> counts{};
    double seen = 0.0;
    for (std::size_t j = 0; j < text.ids.size(); ++j) {
      if (!mask.sees(j)) continue;
      counts[text.at(i, j)] += 1.0;
      seen += 1.0;
    }
    for (std::size_t k = 0; k < counts.size() && seen > 0.0; ++k) shares[k] += counts[k] / seen / static_cast<double>(text.ids.size());
  }
  return shares;
}

AnalysisResult run(const AnalysisInput& input) {
  const Recording& recording = *input.recordings.front();
  const std::vector<Recording::Module> modules = own_modules(recording);
  if (modules.empty()) throw Error({recording.path().string(), "attention factors", "none", "record with --attention factors"});
  std::vector<Text> texts;
  std::vector<std::size_t> sequences;
  for (std::size_t s = 0; s < recording.sequences(); ++s) {
    if (recording.rows_of(s).count < 2) continue;
    texts.push_back(text_of(recording, s));
    sequences.push_back(s);
  }
  if (texts.empty()) throw Error({recording.path().string(), "a sequence of two tokens or more", "none", ""});
  const double each = 1.0 / static_cast<double>(texts.size());
  AnalysisTable table{"weight by kind of key, means over " + std::to_string(texts.size()) + " texts", {"head"}, {}};
  for (const std::string_view kind : kinds) table.header.emplace_back(kind);
  std::array<std::vector<double>, kinds.size()> all;  // mean over heads, by text
  for (std::vector<double>& values : all) values.assign(texts.size(), 0.0);
  Shares even{};
  std::size_t heads = 0;
  for (const Recording::Module& module : modules) heads += module.heads;
  for (std::size_t m = 0; m < modules.size(); ++m) {
    std::vector<Shares> means(modules[m].heads);
    for (std::size_t t = 0; t < texts.size(); ++t) {
      std::vector<Shares> shares(modules[m].heads);
      each_head(recording, modules[m], sequences[t], input.pool,
                [&](std::size_t h, const Recording::Head& head) { shares[h] = shares_of(head, texts[t]); });
      const Shares alike = even_shares(*recording.head(modules[m], 0, sequences[t]), texts[t]);
      for (std::size_t k = 0; k < kinds.size(); ++k) {
        even[k] += alike[k] * each / static_cast<double>(modules.size());
        for (std::size_t h = 0; h < modules[m].heads; ++h) {
          means[h][k] += shares[h][k] * each;
          all[k][t] += shares[h][k] / static_cast<double>(heads);
        }
      }
    }
    for (std::size_t h = 0; h < modules[m].heads; ++h) {
      std::vector<Json>& row = table.rows.emplace_back(std::vector<Json>{head_label(modules[m].block, h)});
      row.insert(row.end(), means[h].begin(), means[h].end());
    }
    input.run.step("token_type_shares", m + 1, modules.size());
  }
  std::vector<Json>& control = table.rows.emplace_back(std::vector<Json>{"all keys alike"});
  control.insert(control.end(), even.begin(), even.end());
  AnalysisResult result;
  result.tables = {std::move(table)};
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    Estimate mean = described_mean({"weight on " + std::string(kinds[k]) + ", all heads", "share", "text"}, all[k], {});
    mean.control = even[k];
    result.estimates.push_back(std::move(mean));
  }
  result.notes = {"Kinds go by a token's bytes: without a tokenizer all are special."};
  if (const auto note = note_on_maps(recording, input.pool)) result.notes.push_back(*note);
  return result;
}

}  // namespace

const Analysis& analysis_token_type_shares() {
  static const Analysis analysis{"token_type_shares",
                                 "weight of each head on the first token, itself, copies, punctuation, digits, ...",
                                 "this file; Clark et al. 2019, arXiv:1906.04341",
                                 "vitrine analyse token_type_shares run.h5",
                                 AnalysisOf::recording,
                                 {},
                                 run};
  return analysis;
}

}  // namespace vitrine
