#include "core/decode/scores.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t block = 64;  // scores that are looked at together: most blocks hold nothing of a shell

/// Numbers whose order is that of scores from the largest on, and of tokens among equals.
std::uint64_t key_of(float score, std::size_t id) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 is 0
  const std::uint32_t ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
  return static_cast<std::uint64_t>(~ascending) << 32 | id;
}
TokenId token_of(std::uint64_t key) { return static_cast<TokenId>(key & 0xffffffffu); }

float highest_of_block(const float* scores, std::size_t count) {
  float lanes[8];
  std::fill_n(lanes, 8, never_chosen);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) lanes[lane] = scores[i + lane] > lanes[lane] ? scores[i + lane] : lanes[lane];
  }
  for (; i < count; ++i) lanes[0] = scores[i] > lanes[0] ? scores[i] : lanes[0];
  return *std::max_element(lanes, lanes + 8);
}

/// exp(x) for x <= 0 within 2e-7 of it, relatively, and 0 where it is less than the smallest normal number. Written so that the compiler
/// makes vectors of it: the library's takes half as long as the rest of a token's samplers.
float exp_below_zero(float x) {
  constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f, smallest = -87.0f;
  const float inside = x > smallest ? x : smallest;
  const int power = static_cast<int>(inside * log2_e - 0.5f);
  const float r = inside - static_cast<float>(power) * ln2_high - static_cast<float>(power) * ln2_low;  // |r| <= ln 2 / 2
  const float polynomial = 1.0f + r * (1.0f + r * (0.5f + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r / 5040))))));
  const float scale = std::bit_cast<float>((power + 127) << 23);
  return x > smallest ? polynomial * scale : 0.0f;
}

/// exp(score - top) of the scores from `begin` on, as many as a block has; 0 behind the last score. Returns their sum.
double weigh_block(std::span<const float> scores, std::size_t begin, float top, float* weights) {
  const std::size_t count = std::min(block, scores.size() - begin);
  float x[block];
  std::fill_n(x, block, never_chosen);
  std::copy_n(scores.data() + begin, count, x);
  for (std::size_t i = 0; i < block; ++i) weights[i] = exp_below_zero(x[i] - top);
  double lanes[8] = {};
  for (std::size_t i = 0; i < block; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) lanes[lane] += weights[i + lane];
  }
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

[[noreturn]] void nothing_left() {
  throw Error({"the next token", "at least one that can be chosen", "none: every score is -inf or no number", "take a rule away, or look at the model's logits"});
}

/// Calls `see(id)` for each token whose score is at least `least` (and above never_chosen).
template <typename See>
void each_from(std::span<const float> scores, float least, const See& see) {
  for (std::size_t begin = 0; begin < scores.size(); begin += block) {
    const std::size_t count = std::min(block, scores.size() - begin);
    const float top = highest_of_block(scores.data() + begin, count);
    if (top < least || top == never_chosen) continue;
    for (std::size_t i = begin; i < begin + count; ++i) {
      if (scores[i] >= least && scores[i] > never_chosen) see(i);
    }
  }
}

}  // namespace

float highest(std::span<const float> scores) { return highest_of_block(scores.data(), scores.size()); }

TokenId likeliest(std::span<const float> scores) {
  const float top = highest(scores);
  if (top == never_chosen) nothing_left();
  return static_cast<TokenId>(std::find(scores.begin(), scores.end(), top) - scores.begin());
}

double sum_of_weights(std::span<const float> scores, float top) {
  float weights[block];
  double sum = 0.0;
  for (std::size_t begin = 0; begin < scores.size(); begin += block) sum += weigh_block(scores, begin, top, weights);
  return sum;
}

TokenId draw(std::span<const float> scores, double random) {
  const float top = highest(scores);
  if (top == never_chosen) nothing_left();
  float weights[block];
  std::vector<double> sums;  // of blocks: the second time only one block is looked at
  sums.reserve(scores.size() / block + 1);
  for (std::size_t begin = 0; begin < scores.size(); begin += block) sums.push_back(weigh_block(scores, begin, top, weights));
  double target = random * std::accumulate(sums.begin(), sums.end(), 0.0);
  std::size_t last = 0;  // block with anything in it
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] == 0.0) continue;
    last = i;
    if (target < sums[i]) break;
    if (i + 1 < sums.size()) target -= sums[i];
  }
  weigh_block(scores, last * block, top, weights);
  std::size_t drawn = 0;
  for (std::size_t i = 0; i < block; ++i) {
    if (weights[i] == 0.0f) continue;
    drawn = i;
    if ((target -= weights[i]) < 0.0) break;
  }
  return static_cast<TokenId>(last * block + drawn);
}

void remove_below(std::span<float> scores, double least) {
  float first = static_cast<float>(least);  // the first number that is kept
  if (first < least) first = std::nextafter(first, std::numeric_limits<float>::infinity());
  first = std::min(first, highest(scores));
  for (float& score : scores) score = score < first ? never_chosen : score;
}

Distribution distribution_of(std::span<const float> scores) {
  Distribution result{.top = highest(scores)};
  double weighted = 0.0;
  float weights[block];
  for (std::size_t begin = 0; begin < scores.size(); begin += block) {
    const std::size_t count = std::min(block, scores.size() - begin);
    result.sum += weigh_block(scores, begin, result.top, weights);
    double lanes[8] = {};
    for (std::size_t i = 0; i < count; ++i) {
      const float distance = scores[begin + i] - result.top;
      lanes[i % 8] += static_cast<double>(weights[i] == 0.0f ? 0.0f : weights[i] * distance);
    }
    weighted += ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  }
  result.entropy = std::log(result.sum) - weighted / result.sum;
  return result;
}

std::vector<TokenId> choosable(std::span<const float> scores) {
  std::vector<TokenId> ids;
  each_from(scores, never_chosen, [&](std::size_t i) { ids.push_back(static_cast<TokenId>(i)); });
  return ids;
}

Ranking::Ranking(std::span<const float> scores) : scores_(scores), from_(highest(scores)), width_(2.0f) {
  if (from_ > never_chosen) collect_shell();
}

/// Scores of [from - width, from), the first time with `from` itself.
void Ranking::collect_shell() {
  const float above = found_.empty() ? std::numeric_limits<float>::infinity() : from_;
  constexpr float widest = 1e30f;
  from_ = width_ < widest ? from_ - width_ : never_chosen;
  width_ *= 4.0f;
  each_from(scores_, from_, [&](std::size_t i) {
    if (scores_[i] < above) found_.push_back(key_of(scores_[i], i));
  });
}

bool Ranking::has(std::size_t place) {
  while (place >= found_.size() && from_ > never_chosen) collect_shell();
  return place < found_.size();
}

TokenId Ranking::operator[](std::size_t place) {
  VITRINE_CHECK(has(place));
  while (place >= sorted_) {
    constexpr std::size_t first = 256, growth = 4;
    const std::size_t end = std::min(found_.size(), sorted_ == 0 ? first : sorted_ * growth);
    const auto at = [this](std::size_t i) { return found_.begin() + static_cast<std::ptrdiff_t>(i); };
    if (end < found_.size()) std::nth_element(at(sorted_), at(end), found_.end());
    std::sort(at(sorted_), at(end));
    sorted_ = end;
  }
  return token_of(found_[place]);
}

void Ranking::keep_first(std::size_t count, std::span<float> scores) {
  if (!has(count)) return;
  const TokenId last = (*this)[std::max<std::size_t>(count, 1) - 1];
  const float least = scores_[static_cast<std::size_t>(last)];
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool kept = scores[i] > least || (scores[i] == least && static_cast<TokenId>(i) <= last);
    scores[i] = kept ? scores[i] : never_chosen;
  }
}

}  // namespace vitrine
