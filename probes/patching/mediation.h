#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "core/model/model_runner.h"

namespace vitrine {

/// A head of the only stack or the decoder.
struct HeadIndex {
  std::size_t layer = 0;
  std::size_t head = 0;
  auto operator<=>(const HeadIndex&) const = default;
};
/// Every head of a model, by layer and head.
std::vector<HeadIndex> all_heads(const ModelSpec& spec);

/// One question of causal mediation by attention: a text x, another x' of as many tokens, and two continuations.
struct MediationTexts {
  std::vector<TokenId> base;         ///< x
  std::vector<TokenId> alternative;  ///< x'
  std::vector<TokenId> candidate1, candidate2;
};

/// log P of both candidates in one run, in nats: sums over their tokens.
struct CandidateScores {
  double first = 0.0, second = 0.0;
};

/// Y(x, A(x)), Y(x', A(x')) and, for each set of heads, Y(x, A_set(x')) and Y(x', A_set(x)): what a run says whose attention patterns of those
/// heads are the other run's. As published (Vig et al. 2020), patterns are those over x, not over the candidates.
struct MediationRuns {
  CandidateScores base, alternative;
  std::vector<CandidateScores> indirect, direct;  ///< [sets]
};

using HeadSet = std::vector<HeadIndex>;

/// Runs one question. The tokens that both texts begin with are run once; runs of several sets share a pass.
/// @param sets  joint sets or single heads
/// @throws Error where the model is no decoder, the texts differ in length or not at all, or a candidate is empty
MediationRuns run_mediation(const ModelRunner& runner, const MediationTexts& texts, std::span<const HeadSet> sets);

/// What is measured: the difference of log odds log P(c2) - log P(c1), or the published relative change of odds of exp(mean log P)
/// (Vig et al. 2020, code of sebastianGehrmann/CausalMediationAnalysis).
enum class EffectScale { log_odds, odds_ratio };

struct CandidateLengths {
  std::size_t first = 1, second = 1;  ///< tokens
};

/// log odds, or odds.
double odds_of(EffectScale scale, const CandidateScores& scores, const CandidateLengths& lengths);

/// Effects of one item under a scale. Pearl 2001: total = direct + indirect + remainder, where the remainder is the interaction of both.
struct MediationEffects {
  double total = 0.0;
  std::vector<double> indirect, direct, remainder;  ///< [sets]
};
MediationEffects effects_of(EffectScale scale, const MediationRuns& runs, const CandidateLengths& lengths);

/// changed - from, or changed / from - 1.
double effect(EffectScale scale, double changed, double from);

/// The published filter: items with an effect above 0 whose odds ratio reaches the 25 % quantile of theirs.
struct PublishedFilter {
  std::size_t positive = 0;  ///< "aligned"
  double threshold = 0.0;    ///< an odds ratio
  std::vector<bool> kept;    ///< [items]
};
PublishedFilter published_filter(std::span<const double> total_effects);

}  // namespace vitrine
