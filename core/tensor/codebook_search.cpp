#include <algorithm>
#include <bit>

#include "core/tensor/codebook_search_internal.h"

// With a scale s a point g errs by sum w x^2 - 2 s (x . g) + s^2 (g . g): both products are made once a block. For the scales that may
// come, few points are ever the best ones: those of eleven scales over the whole range make the list that every later trial looks at.

namespace vitrine::blocks {

namespace {
constexpr std::size_t lanes = 8;  // every list of points is a multiple of it
}

CodebookSearch::CodebookSearch(const Codebook& book)
    : book_(book), lists_(book.shifts == Shifts::of_sub_blocks ? 2 : 1), points_(book.choices() * book.dimension), xg_(book.choices()), gg_(book.choices()),
      candidates_(lists_ * (256 / book.dimension) * tried_scales) {
  for (std::size_t choice = 0; choice < book.choices(); ++choice) {
    const bool lowered = choice >= book.words.size();
    for (std::size_t i = 0; i < book.dimension; ++i) {
      points_[i * book.choices() + choice] = book.value(static_cast<unsigned>(choice % book.words.size()), i) + (lowered ? -book.shift : book.shift);
    }
  }
}

void CodebookSearch::take_signs() {
  for (std::size_t eight = 0; eight < 32; ++eight) {
    float* x = block_.x + 8 * eight;
    signs_[eight] = 0;
    if (book_.signs == Signs::none) continue;
    std::size_t cheapest = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      if (x[i] < 0.0f) signs_[eight] |= 1u << i, x[i] = -x[i];
      const float* weight = block_.weight + 8 * eight;
      if (weight[i] * x[i] < weight[cheapest] * x[cheapest]) cheapest = i;
    }
    // An odd number of signs: the number whose sign costs least goes the wrong way.
    if (book_.signs != Signs::even || std::popcount(signs_[eight]) % 2 == 0) continue;
    signs_[eight] ^= 1u << cheapest;
    x[cheapest] = -x[cheapest];
  }
}

/// xg_ and gg_ of every choice for a point.
void CodebookSearch::measure_choices(std::size_t point) {
  const std::size_t choices = book_.choices();
  for (std::size_t at = 0; at < choices; at += lanes) {
    float xg[lanes] = {}, gg[lanes] = {};
    for (std::size_t i = 0; i < book_.dimension; ++i) {
      const float weight = block_.weight[point * book_.dimension + i], weighed = weight * block_.x[point * book_.dimension + i];
      const float* g = points_.data() + i * choices + at;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        xg[lane] += weighed * g[lane];
        gg[lane] += weight * g[lane] * g[lane];
      }
    }
    std::copy_n(xg, lanes, xg_.data() + at);
    std::copy_n(gg, lanes, gg_.data() + at);
  }
}

std::size_t CodebookSearch::best_choice(float scale, std::size_t first, std::size_t count) const {
  float least[lanes];
  std::int32_t place[lanes] = {};
  std::fill_n(least, lanes, std::numeric_limits<float>::infinity());
  const float twice = 2.0f * scale, square = scale * scale;
  for (std::size_t at = 0; at < count; at += lanes) {
    const float *xg = xg_.data() + first + at, *gg = gg_.data() + first + at;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const float error = square * gg[lane] - twice * xg[lane];
      const bool better = error < least[lane];
      least[lane] = better ? error : least[lane];
      place[lane] = better ? static_cast<std::int32_t>(at) : place[lane];
    }
  }
  const auto lane = static_cast<std::size_t>(std::min_element(least, least + lanes) - least);
  return first + static_cast<std::size_t>(place[lane]) + lane;
}

void CodebookSearch::shortlist_point(std::size_t point, float widest) {
  // A sub-block that is small beside its block may get a scale far above its own.
  constexpr float reaches[tried_scales] = {8.0f, 4.0f, 2.4f, 1.8f, 1.5f, 1.3f, 1.15f, 1.05f, 0.95f, 0.85f, 0.7f};
  measure_choices(point);
  const std::size_t count = book_.choices() / lists_;
  for (std::size_t list = 0; list < lists_; ++list) {
    Candidate* to = candidates_.data() + (list * (256 / book_.dimension) + point) * tried_scales;
    for (std::size_t tried = 0; tried < tried_scales; ++tried) {
      const std::size_t choice = best_choice(widest * reaches[tried], list * count, count);
      to[tried] = {{xg_[choice], gg_[choice]}, choice};
    }
  }
}

/// The candidates of a sub-block's points, for scales around that under which its largest number is the largest value.
void CodebookSearch::shortlist(std::size_t sub_block) {
  const float* x = block_.x + sub_block * book_.sub_block;
  float largest = 0.0f;
  for (std::size_t i = 0; i < book_.sub_block; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float most = std::max(std::fabs(book_.values.front()), book_.values.back()) + book_.shift;
  for (std::size_t p = 0; p < points_of_sub_block(); ++p) shortlist_point(sub_block * points_of_sub_block() + p, largest / most);
}

CodebookSearch::Fit CodebookSearch::choose_from(std::size_t list, std::size_t sub_block, float scale, std::size_t* choices) const {
  Fit total;
  for (std::size_t p = 0; p < points_of_sub_block(); ++p) {
    const Candidate* from = candidates_.data() + (list * (256 / book_.dimension) + sub_block * points_of_sub_block() + p) * tried_scales;
    const Candidate* best = from;
    for (std::size_t tried = 1; tried < tried_scales; ++tried) {
      if (from[tried].fit.error(scale) < best->fit.error(scale)) best = from + tried;
    }
    choices[p] = best->choice;
    total.add(best->fit);
  }
  return total;
}

CodebookSearch::Fit CodebookSearch::choose(std::size_t sub_block, float scale, std::size_t* choices) const {
  const Fit fit = choose_from(0, sub_block, scale, choices);
  if (lists_ == 1) return fit;
  std::size_t lowered[64];
  const Fit other = choose_from(1, sub_block, scale, lowered);
  if (!(other.error(scale) < fit.error(scale))) return fit;
  std::copy_n(lowered, points_of_sub_block(), choices);
  return other;
}

float CodebookSearch::fit_scale(std::size_t sub_block) const {
  float best = 0.0f, best_gain = 0.0f;
  std::size_t choices[64];
  const auto consider = [&](const Fit& fit) {
    if (!(fit.xg > 0.0f) || !(fit.gg > 0.0f) || fit.xg * fit.xg / fit.gg <= best_gain) return false;
    best_gain = fit.xg * fit.xg / fit.gg;
    best = fit.xg / fit.gg;
    return true;
  };
  for (std::size_t list = 0; list < lists_; ++list) {
    const Candidate* from = candidates_.data() + (list * (256 / book_.dimension) + sub_block * points_of_sub_block()) * tried_scales;
    for (std::size_t tried = 0; tried < tried_scales; ++tried) {
      Fit fit;
      for (std::size_t p = 0; p < points_of_sub_block(); ++p) fit.add(from[p * tried_scales + tried].fit);
      consider(fit);
    }
  }
  for (int round = 0; round < 4 && best >= smallest_scale; ++round) {
    if (!consider(choose(sub_block, best, choices))) break;
  }
  return best;
}

bool CodebookSearch::consider(float wanted, std::span<const float> fits) {
  const HalfScale tried = half_scale(wanted, block_.exponent);
  if (!std::isfinite(tried.value)) return false;
  const std::size_t points = points_of_sub_block();
  unsigned factors[16] = {};
  std::size_t chosen[64] = {}, some[64];
  float total = 0.0f;
  Fit sums;
  for (std::size_t j = 0; j < fits.size(); ++j) {
    const float step = tried.value * book_.unit, ratio = step >= smallest_scale ? (fits[j] / step - 1.0f) / 2.0f : 0.0f;
    const int middle = static_cast<int>(nearest(std::clamp(ratio, 0.0f, static_cast<float>(book_.top))));
    float least = std::numeric_limits<float>::infinity();
    Fit kept;
    for (int f = std::max(0, middle - 1); f <= std::min(static_cast<int>(book_.top), middle + 1); ++f) {
      const float multiple = static_cast<float>(2 * f + 1) * book_.unit, scale = tried.value * multiple;
      const Fit fit = choose(j, scale, some);
      if (!(fit.error(scale) < least)) continue;
      least = fit.error(scale);
      factors[j] = static_cast<unsigned>(f);
      kept = {multiple * fit.xg, multiple * multiple * fit.gg};
      std::copy_n(some, points, chosen + j * points);
    }
    total += least;
    sums.add(kept);
  }
  if (!(total < error_)) return false;
  error_ = total;
  scale_ = tried;
  refit_ = sums;
  std::copy(factors, factors + 16, factors_);
  std::copy(chosen, chosen + 64, choices_);
  return true;
}

void CodebookSearch::search(const float* source, const float* importance) {
  std::fill(factors_, factors_ + 16, 0u);
  std::fill(signs_, signs_ + 32, 0u);
  std::fill(choices_, choices_ + 64, std::size_t{0});
  scale_ = {nan_half, 0.0f};
  if (!block_.take(source, importance)) return;
  take_signs();
  const std::size_t subs = 256 / book_.sub_block;
  float fits[16], widest = 0.0f;
  for (std::size_t j = 0; j < subs; ++j) {
    shortlist(j);
    widest = std::max(widest, fits[j] = fit_scale(j));
  }
  error_ = std::numeric_limits<float>::infinity();
  if (widest < smallest_scale) {
    scale_ = {};  // zeros, or what no point resembles
    return;
  }
  for (const float reach : {1.0f, 0.95f, 0.9f, 0.85f, 0.8f}) consider(widest / (static_cast<float>(2 * book_.top + 1) * book_.unit * reach), {fits, subs});
  for (int round = 0; round < 3; ++round) {
    if (!(refit_.gg > 0.0f) || !consider(refit_.xg / refit_.gg, {fits, subs})) break;
  }
}

}  // namespace vitrine::blocks
