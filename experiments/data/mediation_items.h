#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// What the study's authors printed of an item (sebastianGehrmann/CausalMediationAnalysis, winobias_data and winogender_data).
struct PublishedEffects {
  std::array<double, 4> probabilities{};  ///< exp(mean log P): candidates 1 and 2 of the base, then of the alternative
  double total = 0.0, indirect = 0.0, direct = 0.0;  ///< relative changes of odds; of the whole model's attention
  std::vector<std::vector<double>> indirect_head, direct_head;  ///< [layer][head]
  std::vector<std::vector<double>> indirect_odds_head, direct_odds_head;  ///< [layer][head], of those files that have them
};

/// A text x, another x' with one term exchanged, and what may come next. Candidates have no space in front.
struct MediationItem {
  std::string id, base, alternative, candidate1, candidate2;
  std::string cluster;  ///< items of one depend on each other
  std::optional<PublishedEffects> published{};
};

/// The head of a published file.
struct PublishedSummary {
  std::string model;
  bool filtered = false;
  std::size_t loaded = 0, aligned = 0, analyzed = 0;
  std::optional<double> threshold;
  double total = 0.0, indirect = 0.0, direct = 0.0;  ///< means
};

struct MediationSet {
  std::string name, license, cluster_unit;
  std::vector<MediationItem> items;
  std::optional<PublishedSummary> published{};
};

/// The project's own items: two occupations, a pronoun that may be of either, and what each of them would do next.
MediationSet template_mediation_items();

/// A file of items, told apart by what is in it: the published JSON; WinoBias' sentences ("1 [The driver] told the cook that [he] ...", pairs
/// that part behind the pronoun); or comma-separated values with base, alternative, candidate1, candidate2 and perhaps cluster.
/// @throws Error naming the line
MediationSet read_mediation_items(std::string_view text, std::string_view where);

}  // namespace vitrine
