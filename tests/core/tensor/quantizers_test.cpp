// Rounding to blocks: no further from the numbers than ggml's own quantisers (quantizer_errors.json, which make_quantizer_errors.py
// wrote from the same pseudo-random numbers), and what becomes of extreme ones.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/tensor/quantize.h"

namespace vitrine {
namespace {

constexpr std::size_t rows = 8, cols = 512;

class Uniform {
 public:
  explicit Uniform(std::uint32_t state) : state_(state) {}
  double next() {
    state_ = state_ * 1664525u + 1013904223u;
    return (static_cast<double>(state_ >> 8) - 8388608.0) / 8388608.0;
  }

 private:
  std::uint32_t state_;
};

std::vector<float> numbers_of(const std::string& kind) {
  Uniform uniform(7);
  std::vector<float> numbers;
  for (std::size_t i = 0; i < rows * cols; ++i) {
    const double a = uniform.next(), b = uniform.next(), c = uniform.next(), d = uniform.next(), bell = ((a + b) + c) + d;
    numbers.push_back(static_cast<float>(kind == "bell"       ? bell
                                         : kind == "flat"     ? a
                                         : kind == "heavy"    ? a * b * c
                                         : kind == "small"    ? bell * 1e-3
                                         : kind == "positive" ? std::fabs(a)
                                         : i % 97 == 5        ? bell * 20
                                                              : bell));
  }
  return numbers;
}

std::vector<float> weights_of_columns() {
  Uniform uniform(11);
  std::vector<float> weights;
  for (std::size_t i = 0; i < cols; ++i) {
    const double u = uniform.next();
    weights.push_back(static_cast<float>(u * u * u * u + 0.01));
  }
  return weights;
}

/// Relative weighted error of what a type makes of numbers, and the blocks' own numbers in `back`.
double error_of(const DTypeInfo& info, const std::vector<float>& numbers, const std::vector<float>& importance, std::vector<float>& back) {
  std::vector<std::byte> blocks(row_bytes(info.type, numbers.size()));
  double error = 0.0, size = 0.0;
  for (std::size_t r = 0; r < numbers.size() / cols; ++r) {
    std::byte* target = blocks.data() + r * row_bytes(info.type, cols);
    importance.empty() ? info.compress(numbers.data() + r * cols, target, cols) : info.compress_weighted(numbers.data() + r * cols, importance.data(), target, cols);
  }
  back.resize(numbers.size());
  info.expand(blocks.data(), back.data(), numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double w = importance.empty() ? 1.0 : importance[i % cols], difference = static_cast<double>(back[i]) - numbers[i];
    error += w * difference * difference;
    size += w * numbers[i] * static_cast<double>(numbers[i]);
  }
  return std::sqrt(error / size);
}

const Json& published() {
  static const Json json = [] {
    std::ifstream file(std::filesystem::path(VITRINE_TEST_DATA) / "core/tensor/quantizer_errors.json", std::ios::binary);
    return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "quantizer_errors.json");
  }();
  return json;
}

TEST(Quantizers, ErrNoMoreThanThoseOfGgml) {
  std::vector<float> back;
  for (const DTypeInfo& info : all_dtypes()) {
    if (!published().has(info.name)) continue;
    for (const char* kind : {"bell", "flat", "heavy", "small", "positive", "spiked"}) {
      const Json& theirs = published()[info.name][kind];
      const std::vector<float> numbers = numbers_of(kind);
      if (theirs.items()[0].is_number()) {
        EXPECT_LE(error_of(info, numbers, {}, back), theirs.items()[0].number() * 1.000001) << info.name << " " << kind;
      }
      EXPECT_LE(error_of(info, numbers, weights_of_columns(), back), theirs.items()[1].number() * 1.000001) << info.name << " " << kind << ", weighted";
    }
  }
}

TEST(Quantizers, KeepZerosAndScaleByPowersOfTwo) {
  const std::vector<float> numbers = numbers_of("bell");
  std::vector<float> back, scaled_back;
  for (const DTypeInfo& info : all_dtypes()) {
    if (!info.quantized) continue;
    error_of(info, std::vector<float>(cols, 0.0f), {}, back);
    for (const float x : back) EXPECT_EQ(x, 0.0f) << info.name;
    error_of(info, numbers, {}, back);
    std::vector<float> scaled = numbers;
    for (float& x : scaled) x *= 4.0f;
    error_of(info, scaled, {}, scaled_back);
    for (std::size_t i = 0; i < back.size(); ++i) ASSERT_NEAR(scaled_back[i], 4.0f * back[i], 2e-3f * std::fabs(back[i]) + 1e-4f) << info.name << " " << i;
  }
}

TEST(Quantizers, KeepTernaryNumbersInTernaryTypes) {
  std::vector<float> numbers, back;
  Uniform uniform(3);
  for (std::size_t i = 0; i < rows * cols; ++i) numbers.push_back(0.375f * static_cast<float>(std::lround(1.4 * uniform.next())));
  for (const DType type : {DType::tq1_0, DType::tq2_0}) {
    error_of(dtype_info(type), numbers, {}, back);
    EXPECT_EQ(back, numbers) << dtype_info(type).name;
  }
}

TEST(Quantizers, NumbersThatAreNotFiniteDoNotDisappear) {
  for (const DTypeInfo& info : all_dtypes()) {
    if (!info.quantized || info.type == DType::mxfp4) continue;  // whose scales hold no NaN in ggml's reading
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<float> numbers(cols, 0.5f), back;
      numbers[17] = bad;
      error_of(info, numbers, {}, back);
      EXPECT_TRUE(std::isnan(back[17])) << info.name;
      EXPECT_TRUE(std::isfinite(back[cols - 1])) << info.name << ": another block";
    }
  }
}

TEST(Quantizers, TinyNumbersBecomeZeroAndSpikesStay) {
  std::vector<float> back;
  for (const DTypeInfo& info : all_dtypes()) {
    if (!info.quantized || info.type == DType::mxfp4) continue;  // whose scales reach down to 2^-128
    error_of(info, std::vector<float>(cols, 1e-40f), {}, back);
    for (const float x : back) EXPECT_EQ(x, 0.0f) << info.name;
    std::vector<float> numbers(cols, 0.0f);
    numbers[100] = -3.0f;
    error_of(info, numbers, {}, back);
    // A list of points need not hold one spike alone: there the least error is that of a smaller one.
    const bool points = info.name.starts_with("IQ1") || info.name.starts_with("IQ2");
    if (points) {
      EXPECT_LT(back[100], -1.0f) << info.name;
    } else {
      EXPECT_NEAR(back[100], -3.0f, 0.5f) << info.name;
    }
  }
}

TEST(Quantizers, RoundingOfTensorsIsTheSameForAnyNumberOfThreadsAndRefusesWhatItMust) {
  Tensor numbers(DType::f32, {rows, cols});
  const std::vector<float> values = numbers_of("bell");
  std::copy(values.begin(), values.end(), numbers.floats().begin());
  ThreadPool one(1), three(3);
  vitrine::Run run;
  const std::vector<float> importance = weights_of_columns();
  for (const DType type : {DType::q4_k, DType::q8_0, DType::iq3_s}) {
    const Tensor a = round_to(numbers, {type, importance, "a"}, one, run), b = round_to(numbers, {type, importance, "a"}, three, run);
    EXPECT_TRUE(std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin(), b.bytes().end()));
  }
  Tensor narrow(DType::f32, {2, 96});
  std::fill(narrow.floats().begin(), narrow.floats().end(), 1.0f);
  EXPECT_THROW(round_to(narrow, {DType::q4_k, {}, "narrow"}, one, run), Error);
  EXPECT_NO_THROW(round_to(narrow, {DType::q4_0, {}, "narrow"}, one, run));
  narrow.floats()[5] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(round_to(narrow, {DType::q4_0, {}, "narrow"}, one, run), Error);
  narrow.floats()[5] = 1e30f;
  EXPECT_THROW(round_to(narrow, {DType::q8_0, {}, "narrow"}, one, run), Error);
}

}  // namespace
}  // namespace vitrine
