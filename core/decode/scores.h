#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

constexpr float never_chosen = -std::numeric_limits<float>::infinity();

/// The largest score; never_chosen where nothing can be chosen. NaN is none.
float highest(std::span<const float> scores);

/// The token of the largest score, the lowest of equals. @throws Error where no token can be chosen
TokenId likeliest(std::span<const float> scores);

/// Sum of exp(score - top).
double sum_of_weights(std::span<const float> scores, float top);

/// A token with probability proportional to exp(score). @param random  uniform in [0, 1)
/// @throws Error where no token can be chosen
TokenId draw(std::span<const float> scores, double random);

/// What is below becomes never_chosen, but for the likeliest.
void remove_below(std::span<float> scores, double least);

/// What the scores say of probabilities: p = exp(score - top) / sum.
struct Distribution {
  float top = 0.0f;
  double sum = 0.0;
  double entropy = 0.0;  ///< nats
};
Distribution distribution_of(std::span<const float> scores);

/// The tokens that can be chosen.
std::vector<TokenId> choosable(std::span<const float> scores);

/// Tokens from the likeliest on, as far as is asked for; equals in the order of their numbers. Most questions end after some tokens of a
/// vocabulary, of which sorting all takes as long as a model of 135 million parameters (4.5 ms of 49,152).
class Ranking {
 public:
  explicit Ranking(std::span<const float> scores);
  /// Whether so many tokens and one more can be chosen.
  bool has(std::size_t place);
  TokenId operator[](std::size_t place);
  /// Removes what comes behind the first `count` (at least one).
  void keep_first(std::size_t count, std::span<float> scores);

 private:
  void collect_shell();

  std::span<const float> scores_;
  std::vector<std::uint64_t> found_;  // the score, turned so that larger ones are smaller numbers, and the token
  std::size_t sorted_ = 0;
  float from_, width_;  // scores of at least from_ are found; the next shell is so wide
};

}  // namespace vitrine
