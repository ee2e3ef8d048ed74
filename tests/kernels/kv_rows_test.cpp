// What a quantised cache keeps of a row, on every instruction set.
#include "kernels/ops/kv_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/base/half.h"
#include "core/model/kv_format.h"
#include "core/model/attention.h"
#include "kernels/kernels.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

using KvRows = EverySimdTarget;
using Numbers = std::vector<float>;

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Kept {
  Numbers numbers;
  bool fits = false;
};

Kept kept(DType type, const Numbers& row) {
  std::vector<std::byte> stored(row_bytes(type, kv_head_numbers(type, row.size())));
  Kept result{Numbers(row.size()), store_block_row(type, row, stored.data())};
  const KvView view{.type = type, .rows = stored.data(), .kv_len = 1, .kv_heads = 1, .head_dim = row.size()};
  view.expand(0, 0, result.numbers.data());
  return result;
}

Numbers random_row(std::size_t count, float size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.1f, 1.0f);
  Numbers row(count);
  for (float& number : row) number = size * normal(random);
  return row;
}

/// Half a step of each block, what the scale's and the minimum's own rounding adds, and the smallest scale there is.
double bound(DType type, const Numbers& row, std::size_t index) {
  const auto begin = row.begin() + static_cast<std::ptrdiff_t>(index / 32 * 32);
  const auto end = row.begin() + static_cast<std::ptrdiff_t>(std::min(row.size(), index / 32 * 32 + 32));
  const double low = *std::min_element(begin, end), high = *std::max_element(begin, end), largest = std::max(-low, high);
  if (type == DType::q8_0) return largest / 254 * 1.001 + 127 * 0x1p-25;
  return (high - low) / 30 * 1.001 + std::max(-low, 0.0) * 0x1p-11 + std::fabs(low) * 0x1p-11 + 15 * 0x1p-25 + 0x1p-25;
}

TEST_P(KvRows, ErrorsAreAtMostHalfAStep) {
  std::vector<Numbers> rows{Numbers(64, 0.0f), Numbers(64, 1e-40f), Numbers(64, 3.25f), Numbers(64, -7.5f), {5.0f}};
  for (const std::size_t count : {1u, 6u, 16u, 31u, 33u, 64u, 80u, 128u}) {
    for (const float size : {1e-30f, 1e-6f, 1e-3f, 1.0f, 300.0f}) rows.push_back(random_row(count, size, static_cast<unsigned>(count)));
  }
  Numbers outlier = random_row(64, 1.0f, 9);
  outlier[40] = 5e4f;
  rows.push_back(outlier);
  for (const DType type : {DType::q8_0, DType::q4_1}) {
    for (const Numbers& row : rows) {
      const Kept result = kept(type, row);
      EXPECT_TRUE(result.fits);
      for (std::size_t i = 0; i < row.size(); ++i) {
        EXPECT_LE(std::fabs(static_cast<double>(result.numbers[i]) - row[i]), bound(type, row, i)) << dtype_info(type).name << " of " << row.size() << ", " << i << ": " << row[i];
      }
    }
    EXPECT_EQ(kept(type, Numbers(64, 0.0f)).numbers, Numbers(64, 0.0f));
  }
  EXPECT_EQ(kept(DType::q8_0, {0.0f, -127.0f, 64.0f, 127.0f}).numbers, (Numbers{0.0f, -127.0f, 64.0f, 127.0f}));
  EXPECT_EQ(kept(DType::q4_1, {-2.0f, -1.5f, 1.0f, 5.5f}).numbers, (Numbers{-2.0f, -1.5f, 1.0f, 5.5f}));
}

TEST_P(KvRows, AnOutlierCostsItsOwnBlockOnly) {
  Numbers row = random_row(64, 1.0f, 3);
  const Numbers before = kept(DType::q8_0, row).numbers;
  row[5] = 5e4f;
  const Numbers after = kept(DType::q8_0, row).numbers;
  EXPECT_TRUE(std::equal(before.begin() + 32, before.end(), after.begin() + 32));
}

TEST_P(KvRows, NumbersWithoutAFinitePlaceAreReported) {
  const float largest = std::numeric_limits<float>::max();
  for (const DType type : {DType::q8_0, DType::q4_1}) {
    for (const float number : {largest, -largest, 1e7f}) {
      Numbers row = random_row(64, 1.0f, 4);
      row[63] = number;
      EXPECT_FALSE(kept(type, row).fits) << number;
    }
    EXPECT_FALSE(kept(type, {largest, -largest}).fits);
  }
  EXPECT_TRUE(kept(DType::q8_0, {8e6f, -8e6f}).fits);
}

/// Infinities and NaN are no finite numbers, so they are no matter of fitting; they must not vanish either.
TEST_P(KvRows, WhatIsNotFiniteReadsAsNaNThroughItsBlock) {
  for (const DType type : {DType::q8_0, DType::q4_1}) {
    for (const float number : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
      for (const std::size_t place : {0u, 17u, 31u, 32u, 39u}) {
        Numbers row = random_row(40, 1.0f, 5);
        row[place] = number;
        const Kept result = kept(type, row);
        EXPECT_TRUE(result.fits);
        for (std::size_t i = 0; i < row.size(); ++i) EXPECT_EQ(std::isnan(result.numbers[i]), i / 32 == place / 32) << place << " " << i;
      }
    }
  }
}

TEST_P(KvRows, BitsAreThoseOfTheDefinition) {
  for (const std::size_t count : {32u, 64u, 128u}) {
    const Numbers row = random_row(count, 2.0f, 6);
    for (const DType type : {DType::q8_0, DType::q4_1}) {
      const Numbers found = kept(type, row).numbers;
      for (std::size_t begin = 0; begin < count; begin += 32) {
        const auto [low, high] = std::minmax_element(row.begin() + static_cast<std::ptrdiff_t>(begin), row.begin() + static_cast<std::ptrdiff_t>(begin + 32));
        const float minimum = type == DType::q8_0 ? 0.0f : f32_from_f16(f16_from_f32(*low));
        const float scale = f32_from_f16(f16_from_f32(type == DType::q8_0 ? std::max(-*low, *high) / 127.0f : (*high - minimum) / 15.0f));
        for (std::size_t i = begin; i < begin + 32; ++i) {
          const float code = std::nearbyint((row[i] - minimum) / scale);
          const float clamped = type == DType::q8_0 ? std::clamp(code, -128.0f, 127.0f) : std::clamp(code, 0.0f, 15.0f);
          EXPECT_EQ(found[i], scale * clamped + minimum);
        }
      }
    }
  }
}

TEST_P(KvRows, TheHadamardMatrixIsSylvestersAndOrthonormal) {
  for (std::size_t size = 1; size <= 256; size *= 2) {
    for (std::size_t i = 0; i < size; ++i) {
      Numbers unit(size, 0.0f), row(size);
      unit[i] = 1.0f;
      hadamard_row(unit, size, row.data());
      for (std::size_t j = 0; j < size; ++j) {
        const float sign = std::popcount(i & j) % 2 == 0 ? 1.0f : -1.0f;
        EXPECT_EQ(row[j], sign * static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)))) << size << " " << i << " " << j;
      }
    }
  }
}

TEST_P(KvRows, TurningKeepsProductsAndTurnsBack) {
  for (const std::size_t count : {2u, 6u, 16u, 64u, 80u, 96u, 128u, 256u}) {
    const Numbers a = random_row(count, 1.0f, 7), b = random_row(count, 1.0f, 8);
    Numbers turned_a(count), turned_b(count);
    hadamard_row(a, hadamard_size(count), turned_a.data());
    hadamard_row(b, hadamard_size(count), turned_b.data());
    double before = 0.0, after = 0.0, size = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      before += static_cast<double>(a[i]) * b[i];
      after += static_cast<double>(turned_a[i]) * turned_b[i];
      size += std::fabs(static_cast<double>(a[i]) * b[i]);
    }
    EXPECT_NEAR(after, before, 1e-6 * size) << count;
    hadamard_row(turned_a, hadamard_size(count), turned_a.data());  // in place
    for (std::size_t i = 0; i < count; ++i) EXPECT_NEAR(turned_a[i], a[i], 2e-6);
  }
}

/// Rows with long tails, as keys have them: the largest numbers make the steps.
TEST_P(KvRows, TurningMakesStepsOfLongTailedRowsFiner) {
  std::mt19937 random(9);
  std::student_t_distribution<float> tailed(3.0f);
  double plain = 0.0, turned = 0.0;
  for (std::size_t r = 0; r < 200; ++r) {
    Numbers row(64), other(64);
    for (float& number : row) number = tailed(random);
    hadamard_row(row, 64, other.data());
    const Numbers straight = kept(DType::q4_1, row).numbers;
    Numbers back = kept(DType::q4_1, other).numbers;
    hadamard_row(back, 64, back.data());
    for (std::size_t i = 0; i < row.size(); ++i) {
      plain += std::pow(static_cast<double>(straight[i]) - row[i], 2);
      turned += std::pow(static_cast<double>(back[i]) - row[i], 2);
    }
  }
  EXPECT_LT(turned, 0.8 * plain) << plain;
}

INSTANTIATE_EVERY_SIMD_TARGET(KvRows);

TEST(HadamardSize, IsTheLargestPowerOfTwoThatDivides) {
  EXPECT_EQ(hadamard_size(64), 64u);
  EXPECT_EQ(hadamard_size(80), 16u);
  EXPECT_EQ(hadamard_size(96), 32u);
  EXPECT_EQ(hadamard_size(6), 2u);
  EXPECT_EQ(hadamard_size(33), 1u);
}

}  // namespace
}  // namespace vitrine
