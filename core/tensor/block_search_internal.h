#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/base/half.h"

// Least-squares searches for the scales of blocks. An error at number i counts weight[i]; what is sought are scales that the
// file can hold and the levels nearest to the numbers under them, with the smallest sum of weight * (x - x')^2. Every search
// starts from several ways to stretch the levels over the numbers and alternates between rounding and solving for the scale.

namespace vitrine::blocks {

/// Calls write(numbers, importance, target) for every block of so many numbers, whose bytes are zeros before. @param importance  [count] or null
template <std::size_t block_size, std::size_t block_bytes, class Write>
void each_block(const float* source, const float* importance, std::byte* target, std::size_t count, const Write& write) {
  for (std::size_t at = 0; at < count; at += block_size, target += block_bytes) {
    std::memset(target, 0, block_bytes);
    write(source + at, importance ? importance + at : nullptr, target);
  }
}

/// Numbers of a block in a unit of their own (a power of two), and what an error at each counts.
template <std::size_t count>
struct Weighed {
  alignas(64) float x[count];
  alignas(64) float weight[count];
  int exponent = 0;  ///< x = source / 2^exponent

  /// @param importance  [count], or null: all the same
  /// @return false where a number is NaN or infinite
  bool take(const float* source, const float* importance) {
    float largest = 0.0f, mean = 0.0f;
    bool finite = true;
    for (std::size_t i = 0; i < count; ++i) {
      finite &= std::isfinite(source[i]);
      largest = std::max(largest, std::fabs(source[i]));
      if (importance) mean += importance[i] / count;
    }
    if (!finite) return false;
    std::frexp(largest, &exponent);
    exponent = std::clamp(exponent, -125, 126);
    const float unit = std::ldexp(1.0f, -exponent);
    // Columns that the calibration never saw still count a little: another text may use them.
    const bool weighed = importance && mean > 0.0f && std::isfinite(mean);
    for (std::size_t i = 0; i < count; ++i) {
      x[i] = source[i] * unit;
      weight[i] = weighed ? std::max(importance[i] / mean, 1e-4f) : 1.0f;
    }
    return true;
  }
  /// The same, less so: weight * (root mean square + |x|).
  void favour_large_a_little() {
    const float root = std::sqrt(sum_of_squares() / count);
    for (std::size_t i = 0; i < count; ++i) weight[i] *= root + std::fabs(x[i]);
  }
  /// Lets large numbers count more: weight * (mean square + x^2).
  void favour_large() {
    const float square = sum_of_squares() / count;
    for (std::size_t i = 0; i < count; ++i) weight[i] *= square + x[i] * x[i];
  }
  float sum_of_squares() const {
    float sum = 0.0f;
    for (const float number : x) sum += number * number;
    return sum;
  }
};

struct Run {
  const float *x, *weight;
};

/// A binary16 scale as the file holds it, and its value in the unit of a block.
struct HalfScale {
  std::uint16_t bits = 0;
  float value = 0.0f;  ///< infinite where binary16 ends
};

inline HalfScale half_scale(float scale, int exponent) {
  const std::uint16_t bits = f16_from_f32(std::ldexp(scale, exponent));
  return {bits, std::ldexp(f32_from_f16(bits), -exponent)};
}

constexpr std::uint16_t nan_half = 0x7e00;  // the scale of a block that cannot be expressed
constexpr float smallest_scale = 1e-30f;  // below it a scale rounds everything to 0

/// The nearest whole number of |x| < 2^22, in operations that every instruction set has several at a time of.
inline float nearest(float x) {
  constexpr float shift = 0x1.8p23f;
  return (x + shift) - shift;
}

template <std::size_t count, class Term>
float sum_of(const Term& term) {
  constexpr std::size_t lanes = 8;
  static_assert(count % lanes == 0);
  float part[lanes] = {};
  for (std::size_t i = 0; i < count; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) part[lane] += term(i + lane);
  }
  return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

/// Whole levels from low to high.
struct WholeLevels {
  float low, high;
  float step;  ///< between the stretchings that are tried
  float operator()(float x) const { return nearest(std::min(std::max(x, low), high)); }
  /// Calls try_anchor with what the number of largest magnitude may become.
  template <class Try>
  void anchors(const Try& try_anchor) const {
    for (int k = -10; k <= 10; ++k) {
      try_anchor(low + static_cast<float>(k) * step);
      if (high > 0.0f) try_anchor(high + static_cast<float>(k) * step);
    }
  }
};

/// Sum of weight * (x - scale * level)^2.
template <std::size_t count, class Levels>
float scaled_error(const Run& run, float scale, const Levels& levels) {
  if (!(std::fabs(scale) >= smallest_scale)) return sum_of<count>([&](std::size_t i) { return run.weight[i] * run.x[i] * run.x[i]; });
  const float inverse = 1.0f / scale;
  return sum_of<count>([&](std::size_t i) {
    const float error = run.x[i] - scale * levels(run.x[i] * inverse);
    return run.weight[i] * error * error;
  });
}

/// The scale of smallest error; 0 for zeros.
template <std::size_t count, class Levels>
float fit_scale(const Run& run, const Levels& levels) {
  float extreme = 0.0f, best = 0.0f, best_gain = 0.0f;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::fabs(run.x[i]) > std::fabs(extreme)) extreme = run.x[i];
  }
  if (std::fabs(extreme) < smallest_scale) return 0.0f;
  const auto consider = [&](float inverse) {
    alignas(64) float level[count];
    for (std::size_t i = 0; i < count; ++i) level[i] = levels(run.x[i] * inverse);
    const float xl = sum_of<count>([&](std::size_t i) { return run.weight[i] * run.x[i] * level[i]; });
    const float ll = sum_of<count>([&](std::size_t i) { return run.weight[i] * level[i] * level[i]; });
    // With the best scale xl / ll for these levels the error is that of zeros less xl^2 / ll.
    if (!(ll > 0.0f) || xl * xl / ll <= best_gain) return false;
    best_gain = xl * xl / ll;
    best = xl / ll;
    return true;
  };
  const float inverse = 1.0f / extreme;
  levels.anchors([&](float anchor) { consider(anchor * inverse); });
  for (int round = 0; round < 4 && std::fabs(best) >= smallest_scale; ++round) {
    if (!consider(1.0f / best)) break;
  }
  return best;
}

struct Affine {
  float scale = 0.0f, offset = 0.0f;  ///< x' = scale * level + offset
};

enum class Offset { any, not_positive };

/// Sum of weight * (x - scale * level - offset)^2, levels from 0 to top.
template <std::size_t count>
float affine_error(const Run& run, const Affine& fit, float top) {
  const float inverse = std::fabs(fit.scale) >= smallest_scale ? 1.0f / fit.scale : 0.0f;
  return sum_of<count>([&](std::size_t i) {
    const float level = nearest(std::min(std::max((run.x[i] - fit.offset) * inverse, 0.0f), top));
    const float error = run.x[i] - fit.scale * level - fit.offset;
    return run.weight[i] * error * error;
  });
}

/// Scale and offset of smallest error. For Offset::any the numbers should not be far from 0 beside their spread.
template <std::size_t count>
Affine fit_affine(const Run& run, float top, Offset kind) {
  float low = kind == Offset::any ? run.x[0] : std::min(run.x[0], 0.0f), high = run.x[0];
  for (std::size_t i = 1; i < count; ++i) {
    low = std::min(low, run.x[i]);
    high = std::max(high, run.x[i]);
  }
  Affine best{0.0f, low};
  if (high - low < smallest_scale) return best;
  const float w = sum_of<count>([&](std::size_t i) { return run.weight[i]; });
  const float wx = sum_of<count>([&](std::size_t i) { return run.weight[i] * run.x[i]; });
  float best_gain = -std::numeric_limits<float>::infinity();
  const auto consider = [&](float inverse, float offset) {
    alignas(64) float level[count], weighed[count];
    for (std::size_t i = 0; i < count; ++i) {
      level[i] = nearest(std::min(std::max((run.x[i] - offset) * inverse, 0.0f), top));
      weighed[i] = run.weight[i] * level[i];
    }
    const float l = sum_of<count>([&](std::size_t i) { return weighed[i]; });
    const float ll = sum_of<count>([&](std::size_t i) { return weighed[i] * level[i]; });
    const float xl = sum_of<count>([&](std::size_t i) { return weighed[i] * run.x[i]; });
    const float determinant = w * ll - l * l;
    if (!(determinant > 0.0f) || !(ll > 0.0f)) return false;
    Affine fit{(w * xl - l * wx) / determinant, 0.0f};
    fit.offset = (wx - fit.scale * l) / w;
    if (kind == Offset::not_positive && fit.offset > 0.0f) fit = {xl / ll, 0.0f};
    // What the error is smaller than that of zeros.
    const float gain = fit.scale * (2.0f * xl - fit.scale * ll - 2.0f * fit.offset * l) + fit.offset * (2.0f * wx - fit.offset * w);
    if (!(gain > best_gain)) return false;
    best_gain = gain;
    best = fit;
    return true;
  };
  for (int k = -10; k <= 10; ++k) {
    const float inverse = (top + 0.1f * static_cast<float>(k)) / (high - low);
    consider(inverse, low);
    if (kind == Offset::not_positive) continue;  // its block is searched again, with all others
    for (const float shift : {-0.4f, -0.2f, 0.2f, 0.4f, 0.6f}) consider(inverse, low + shift / inverse);
  }
  for (int round = 0; round < 4 && best.scale >= smallest_scale; ++round) {
    if (!consider(1.0f / best.scale, best.offset)) break;
  }
  return best;
}

/// Scales of a block of `subs` sub-blocks of `count` numbers: x' = scale * factor[j] * level.
template <std::size_t subs, std::size_t count, class Levels>
struct ScaledSearch {
  const Weighed<subs * count>& block;
  Levels levels;
  int low, high;  ///< factors

  HalfScale scale{nan_half, 0.0f};  // the best so far
  int factors[subs] = {};
  float error = std::numeric_limits<float>::infinity();

  Run run(std::size_t j) const { return {block.x + j * count, block.weight + j * count}; }

  void search() {
    float fits[subs], extreme = 0.0f, size = 0.0f;
    for (std::size_t j = 0; j < subs; ++j) {
      fits[j] = fit_scale<count>(run(j), levels);
      if (std::fabs(fits[j]) > std::fabs(extreme)) extreme = fits[j];
      size += scaled_error<count>(run(j), 0.0f, levels);
    }
    if (size == 0.0f || std::fabs(extreme) < smallest_scale) {
      scale = {};
      return;
    }
    for (const float reach : {1.0f, 0.97f, 0.94f, 0.9f}) {
      consider(extreme / (static_cast<float>(low) * reach), fits);
      consider(extreme / (static_cast<float>(high) * reach), fits);
    }
    for (int round = 0; round < 3; ++round) {
      if (!consider(refit(), fits)) break;
    }
  }

  bool consider(float wanted, const float (&fits)[subs]) {
    const HalfScale tried = half_scale(wanted, block.exponent);
    if (!std::isfinite(tried.value)) return false;
    int chosen[subs];
    float total = 0.0f;
    for (std::size_t j = 0; j < subs; ++j) {
      const float ratio = std::fabs(tried.value) >= smallest_scale ? fits[j] / tried.value : 0.0f;
      const int middle = static_cast<int>(nearest(std::clamp(ratio, static_cast<float>(low), static_cast<float>(high))));
      float least = std::numeric_limits<float>::infinity();
      for (int factor = std::max(low, middle - 1); factor <= std::min(high, middle + 1); ++factor) {
        const float sub_error = scaled_error<count>(run(j), tried.value * static_cast<float>(factor), levels);
        if (sub_error < least) least = sub_error, chosen[j] = factor;
      }
      total += least;
    }
    if (!(total < error)) return false;
    error = total;
    scale = tried;
    std::copy(chosen, chosen + subs, factors);
    return true;
  }

  /// The scale that is best for the levels and factors chosen.
  float refit() const {
    float xl = 0.0f, ll = 0.0f;
    for (std::size_t j = 0; j < subs; ++j) {
      const Run numbers = run(j);
      const auto factor = static_cast<float>(factors[j]);
      if (std::fabs(scale.value * factor) < smallest_scale) continue;
      const float inverse = 1.0f / (scale.value * factor);
      for (std::size_t i = 0; i < count; ++i) {
        const float level = factor * levels(numbers.x[i] * inverse);
        xl += numbers.weight[i] * numbers.x[i] * level;
        ll += numbers.weight[i] * level * level;
      }
    }
    return ll > 0.0f ? xl / ll : scale.value;
  }

  /// Level of number i of sub-block j.
  float level(std::size_t j, std::size_t i) const {
    const float step = scale.value * static_cast<float>(factors[j]);
    return std::fabs(step) >= smallest_scale ? levels(run(j).x[i] / step) : levels(0.0f);
  }
};

/// Scales and minima of a block: x' = scale * factor[j] * level - minimum * lowering[j], all of them at least 0.
template <std::size_t subs, std::size_t count>
struct AffineSearch {
  const Weighed<subs * count>& block;
  float top;  ///< of the levels
  int high;   ///< of factors and lowerings

  HalfScale scale{nan_half, 0.0f}, minimum{nan_half, 0.0f};
  int factors[subs] = {}, lowerings[subs] = {};
  float error = std::numeric_limits<float>::infinity();

  Run run(std::size_t j) const { return {block.x + j * count, block.weight + j * count}; }
  Affine fit_of(std::size_t j) const { return {scale.value * static_cast<float>(factors[j]), -minimum.value * static_cast<float>(lowerings[j])}; }

  void search() {
    Affine fits[subs];
    float widest = 0.0f, deepest = 0.0f;
    for (std::size_t j = 0; j < subs; ++j) {
      fits[j] = fit_affine<count>(run(j), top, Offset::not_positive);
      widest = std::max(widest, fits[j].scale);
      deepest = std::max(deepest, -fits[j].offset);
    }
    const auto most = static_cast<float>(high);
    for (const float reach : {1.0f, 0.97f, 0.94f, 0.9f}) {
      for (const float depth : {1.0f, 0.95f}) consider(widest / (most * reach), deepest / (most * depth), fits);
    }
    for (int round = 0; round < 3; ++round) {
      const Affine again = refit();
      if (!consider(again.scale, -again.offset, fits)) break;
    }
  }

  int whole(float value, float unit) const {
    return unit >= smallest_scale ? static_cast<int>(nearest(std::clamp(value / unit, 0.0f, static_cast<float>(high)))) : 0;
  }

  bool consider(float wanted_scale, float wanted_minimum, const Affine (&fits)[subs]) {
    const HalfScale s = half_scale(std::max(wanted_scale, 0.0f), block.exponent), m = half_scale(std::max(wanted_minimum, 0.0f), block.exponent);
    if (!std::isfinite(s.value) || !std::isfinite(m.value)) return false;
    int chosen[subs] = {}, lowered[subs] = {};
    float total = 0.0f;
    for (std::size_t j = 0; j < subs; ++j) total += choose(run(j), fits[j], {s.value, m.value}, chosen[j], lowered[j]);
    if (!(total < error)) return false;
    error = total;
    scale = s;
    minimum = m;
    std::copy(chosen, chosen + subs, factors);
    std::copy(lowered, lowered + subs, lowerings);
    return true;
  }

  /// Factor and lowering of a sub-block in given units (offset holds the minimum's, not negated), and their error.
  float choose(const Run& numbers, const Affine& fit, const Affine& units, int& factor, int& lowering) const {
    float least = std::numeric_limits<float>::infinity();
    const int middle = whole(fit.scale, units.scale), depth = whole(-fit.offset, units.offset);
    const auto consider_pair = [&](int f, int l) {
      const float found = affine_error<count>(numbers, {units.scale * static_cast<float>(f), -units.offset * static_cast<float>(l)}, top);
      if (found < least) least = found, factor = f, lowering = l;
    };
    for (int f = std::max(0, middle - 1); f <= std::min(high, middle + 1); ++f) {
      consider_pair(f, depth);
      const int settled = whole(best_minimum(numbers, units.scale * static_cast<float>(f), units.offset * static_cast<float>(depth)), units.offset);
      if (settled != depth) consider_pair(f, settled);
    }
    return least;
  }

  /// The minimum that is best for the levels that a scale and a minimum give.
  float best_minimum(const Run& numbers, float step, float depth) const {
    if (step < smallest_scale) return depth;
    const float inverse = 1.0f / step;
    const float missing = sum_of<count>([&](std::size_t i) {
      return numbers.weight[i] * (step * nearest(std::min(std::max((numbers.x[i] + depth) * inverse, 0.0f), top)) - numbers.x[i]);
    });
    return missing / sum_of<count>([&](std::size_t i) { return numbers.weight[i]; });
  }

  /// Both units that are best for the levels, factors and lowerings chosen (offset: minus the minimum).
  Affine refit() const {
    double aa = 0.0, ab = 0.0, bb = 0.0, ax = 0.0, bx = 0.0;
    for (std::size_t j = 0; j < subs; ++j) {
      const Run numbers = run(j);
      for (std::size_t i = 0; i < count; ++i) {
        const double a = static_cast<double>(factors[j]) * level(j, i), b = -static_cast<double>(lowerings[j]), w = numbers.weight[i];
        aa += w * a * a;
        ab += w * a * b;
        bb += w * b * b;
        ax += w * a * numbers.x[i];
        bx += w * b * numbers.x[i];
      }
    }
    const double determinant = aa * bb - ab * ab;
    if (determinant > 1e-12 * aa * bb) return {static_cast<float>((bb * ax - ab * bx) / determinant), -static_cast<float>((aa * bx - ab * ax) / determinant)};
    return {aa > 0.0 ? static_cast<float>(ax / aa) : scale.value, -minimum.value};
  }

  float level(std::size_t j, std::size_t i) const {
    const Affine fit = fit_of(j);
    if (fit.scale < smallest_scale) return 0.0f;
    return nearest(std::clamp((run(j).x[i] - fit.offset) / fit.scale, 0.0f, top));
  }
};

}  // namespace vitrine::blocks
