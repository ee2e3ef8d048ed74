#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/decode/growing_text.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption alpha{.name = "penalty-alpha", .summary = "how much likeness to earlier tokens counts against a candidate, its probability the rest (0.6)", .fallback = 0.6, .low = 0, .high = 1};
const DecodeOption candidates{.name = "contrastive-candidates", .summary = "how many of the likeliest tokens are looked at (4)", .kind = OptionKind::whole, .fallback = 4, .low = 1, .high = 512};

/// What a token became in the model, of length 1.
using Direction = std::vector<float>;  // [width]

Direction direction_of(std::span<const float> hidden) {
  double sum = 0.0;
  for (const float number : hidden) sum += static_cast<double>(number) * number;
  Direction direction(hidden.begin(), hidden.end());
  for (float& number : direction) number = static_cast<float>(number / std::sqrt(sum));
  return direction;
}

/// In eight sums side by side: there are as many as tokens before it.
float cosine(const Direction& a, const Direction& b) {
  float sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
  float sum = 0.0f;
  for (const float part : sums) sum += part;
  return sum;
}

/// Candidates of one step go through the model together: what they become there is compared with what the tokens before became.
class Contrast {
 public:
  Contrast(const SearchProblem& problem, GrowingText& text)
      : text_(text), alpha_(problem.values.number(alpha)), most_(problem.values.whole(candidates)), model_(problem) {
    model_.on_hidden = [this](std::span<const RowRef> rows, TensorView<const float, 2> hidden) {
      for (std::size_t r = 0; r < rows.size(); ++r) seen_.push_back(direction_of({&hidden(r, 0), hidden.extent(1)}));
    };
  }

  void run() {
    TensorView<float, 2> logits = model_.begin({&text_.problem().prompt, 1});
    before_ = std::move(seen_);
    std::size_t chosen = 0;
    while (!text_.complete()) {
      const std::vector<float> row(&logits(chosen, 0), &logits(chosen, 0) + logits.extent(1));
      std::vector<float> scores = row;
      text_.narrow(scores);
      const std::vector<TokenId> ids = likeliest_of(scores);
      std::vector<NextScores::Growth> growths;
      for (const TokenId id : ids) growths.push_back({chosen, id});
      seen_.clear();
      logits = model_.grow(growths);
      chosen = best_of(ids, scores);
      before_.push_back(std::move(seen_[chosen]));
      text_.add(ids[chosen], scores, row);
    }
  }

 private:
  std::vector<TokenId> likeliest_of(std::span<const float> scores) const {
    Ranking ranking(scores);
    std::vector<TokenId> ids;
    while (ids.size() < most_ && ranking.has(ids.size())) ids.push_back(ranking[ids.size()]);
    return ids;
  }
  /// Equation 5 of the paper.
  std::size_t best_of(std::span<const TokenId> ids, std::span<const float> scores) const {
    const float top = highest(scores);
    const double total = sum_of_weights(scores, top);
    std::size_t best = 0;
    double best_score = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      float likeness = -1.0f;
      for (const Direction& earlier : before_) likeness = std::max(likeness, cosine(earlier, seen_[i]));
      const double probability = std::exp(scores[static_cast<std::size_t>(ids[i])] - top) / total;
      const double score = (1.0 - alpha_) * probability - alpha_ * likeness;
      if (score > best_score) best = i, best_score = score;
    }
    return best;
  }

  GrowingText& text_;
  double alpha_;
  std::size_t most_;
  ModelScores model_;
  std::vector<Direction> before_{}, seen_{};  // of the tokens so far; of the rows of this pass
};

std::vector<GeneratedText> run(const SearchProblem& problem) {
  if (problem.draws_tokens || problem.texts > 1) {
    throw Error({"--search contrastive", "one text of tokens that are chosen", problem.texts > 1 ? "several texts" : "tokens that are drawn", ""}, Fault::usage);
  }
  const std::size_t context = problem.context.model.spec.context, prompt = problem.prompt.size();
  SearchProblem within = problem;
  if (context > 0) within.max_tokens = std::min(problem.max_tokens, context - std::min(context, prompt));  // candidates go into the model before one is chosen
  if (within.max_tokens == 0 && problem.max_tokens > 0) {
    throw Error({"the text", "at most " + std::to_string(context - 1) + " tokens: contrastive search runs a token through the model before it is chosen", std::to_string(prompt), "shorten the text"});
  }
  return one_by_one(within, [&](GrowingText& text) { Contrast(within, text).run(); });
}

}  // namespace

const Search& search_contrastive() {
  static const Search search{"contrastive", "of the likeliest tokens the one that is least like those before it", "Su et al. 2022, arXiv:2202.06417", {alpha, candidates}, run, one_problem_at_a_time<run>};
  return search;
}

}  // namespace vitrine
