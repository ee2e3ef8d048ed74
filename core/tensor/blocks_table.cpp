#include <cstring>

#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/block_search_internal.h"
#include "core/tensor/blocks.h"

// IQ4_NL, IQ4_XS, MXFP4: nibbles that name levels of a table.

namespace vitrine::blocks {
namespace {

/// 32 numbers from 16 bytes: low nibbles, then high ones.
void expand_iq4_levels(const std::byte* nibbles, float scale, float* target) {
  for (std::size_t i = 0; i < small / 2; ++i) {
    const unsigned pair = byte_at(nibbles, i);
    target[i] = scale * static_cast<float>(iq4_levels[pair & 15u]);
    target[i + small / 2] = scale * static_cast<float>(iq4_levels[pair >> 4]);
  }
}

/// The place of the level nearest to x. Halves lie on one side of every border, which is the middle of two whole levels.
struct NearestPlaces {
  constexpr NearestPlaces() {
    for (int half = 0; half < 512; ++half) {
      const int twice = half - 256;  // x lies in [twice, twice + 1) / 2
      unsigned best = 0;
      while (best < 15 && twice >= iq4_levels[best] + iq4_levels[best + 1]) ++best;
      places[half] = static_cast<std::uint8_t>(best);
    }
  }
  std::uint8_t places[512] = {};
};
constexpr NearestPlaces nearest_places;

unsigned iq4_place(float x) { return nearest_places.places[static_cast<int>(std::min(std::max(2.0f * x, -256.0f), 255.0f) + 256.0f)]; }

struct Iq4Levels {
  float operator()(float x) const { return static_cast<float>(iq4_levels[iq4_place(x)]); }
  template <class Try>
  void anchors(const Try& try_anchor) const {
    for (int k = -8; k <= 8; ++k) {
      try_anchor(static_cast<float>(iq4_levels[0] + 2 * k));
      try_anchor(static_cast<float>(iq4_levels[15] + 2 * k));
    }
  }
};

void store_iq4(const float* x, float step, std::byte* nibbles) {
  const float inverse = std::fabs(step) >= smallest_scale ? 1.0f / step : 0.0f;
  for (std::size_t i = 0; i < small / 2; ++i) {
    nibbles[i] = static_cast<std::byte>(iq4_place(x[i] * inverse) | iq4_place(x[i + small / 2] * inverse) << 4);
  }
}

/// Numbers of the microscaling formats' E2M1, doubled; negative ones behind positive ones.
constexpr std::int8_t e2m1_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Half of 2^(exponent - 127): the levels are doubled.
float e8m0_half(unsigned exponent) { return std::ldexp(1.0f, static_cast<int>(exponent) - 128); }

unsigned e2m1_place(float x) {
  const float size = std::fabs(x);
  unsigned place = 0;
  for (unsigned next = 1; next < 8; ++next) place += size > 0.5f * static_cast<float>(e2m1_levels[next - 1] + e2m1_levels[next]);
  return place | (x < 0.0f && place > 0 ? 8u : 0u);
}

float e2m1_error(const Run& run, float scale) {
  return scaled_error<small>(run, scale, [](float x) { return static_cast<float>(e2m1_levels[e2m1_place(x)]); });
}

}  // namespace

void expand_iq4_nl(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 18, target += small) {
    expand_iq4_levels(source + 2, load_f16(source), target);
  }
}

void expand_iq4_xs(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 136) {
    const float scale = load_f16(source);
    for (std::size_t j = 0; j < 8; ++j, target += small) {
      const unsigned low = byte_at(source, 4 + j / 2) >> (j % 2 * 4) & 15u, high = static_cast<unsigned>(load_u16(source + 2)) >> (2 * j) & 3u;
      expand_iq4_levels(source + 8 + j * 16, scale * static_cast<float>(static_cast<int>(low | high << 4) - 32), target);
    }
  }
}

void expand_mxfp4(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / small; ++block, source += 17, target += small) {
    const float scale = e8m0_half(byte_at(source, 0));
    for (std::size_t i = 0; i < small / 2; ++i) {
      const unsigned pair = byte_at(source, 1 + i);
      target[i] = scale * static_cast<float>(e2m1_levels[pair & 15u]);
      target[i + small / 2] = scale * static_cast<float>(e2m1_levels[pair >> 4]);
    }
  }
}

void compress_iq4_nl(const float* source, const float* importance, std::byte* target, std::size_t count) {
  Weighed<small> block;
  each_block<small, 18>(source, importance, target, count, [&](const float* numbers, const float* weights, std::byte* bytes) {
    store_u16(bytes, nan_half);
    if (!block.take(numbers, weights)) return;
    if (!weights) block.favour_large();
    const HalfScale scale = half_scale(fit_scale<small>({block.x, block.weight}, Iq4Levels()), block.exponent);
    if (!std::isfinite(scale.value)) return;
    store_u16(bytes, scale.bits);
    store_iq4(block.x, scale.value, bytes + 2);
  });
}

void compress_iq4_xs(const float* source, const float* importance, std::byte* target, std::size_t count) {
  Weighed<super> block;
  each_block<super, 136>(source, importance, target, count, [&](const float* numbers, const float* weights, std::byte* bytes) {
    store_u16(bytes, nan_half);
    if (!block.take(numbers, weights)) return;
    if (!weights) block.favour_large();
    ScaledSearch<8, small, Iq4Levels> search{block, {}, -32, 31};
    search.search();
    store_u16(bytes, search.scale.bits);
    std::uint16_t high = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      const auto factor = static_cast<unsigned>(search.factors[j] + 32);
      high |= static_cast<std::uint16_t>(factor >> 4 << (2 * j));
      bytes[4 + j / 2] |= static_cast<std::byte>((factor & 15u) << (j % 2 * 4));
      store_iq4(block.x + j * small, search.scale.value * static_cast<float>(search.factors[j]), bytes + 8 + j * 16);
    }
    store_u16(bytes + 2, high);
  });
}

void compress_mxfp4(const float* source, const float* importance, std::byte* target, std::size_t count) {
  Weighed<small> block;
  each_block<small, 17>(source, importance, target, count, [&](const float* numbers, const float* weights, std::byte* bytes) {
    bytes[0] = std::byte{0xff};  // the format's NaN; ggml reads 2^127
    if (!block.take(numbers, weights)) return;
    const Run run{block.x, block.weight};
    int best = -2;  // of the scale's exponent in the block's unit, where the largest number lies in [0.5, 1)
    float least = e2m1_error(run, std::ldexp(1.0f, best));
    for (const int tried : {-5, -4, -3}) {
      const float error = e2m1_error(run, std::ldexp(1.0f, tried));
      if (error < least) least = error, best = tried;
    }
    const int exponent = std::clamp(block.exponent + best + 128, 0, 254);
    bytes[0] = static_cast<std::byte>(exponent);
    const float inverse = std::ldexp(1.0f, block.exponent + 128 - exponent);
    for (std::size_t i = 0; i < small / 2; ++i) {
      bytes[1 + i] = static_cast<std::byte>(e2m1_place(block.x[i] * inverse) | e2m1_place(block.x[i + small / 2] * inverse) << 4);
    }
  });
}

}  // namespace vitrine::blocks
