// Matrix products of every weight type against double arithmetic on the plain expansion, on every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "core/base/half.h"
#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "kernels/ops/dense.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

constexpr DType weight_types[] = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0, DType::q4_0, DType::q4_1,
                                  DType::q5_0, DType::q5_1, DType::q4_k, DType::q5_k, DType::q6_k,
                                  DType::q2_k, DType::q3_k, DType::iq4_nl, DType::iq4_xs,
                                  DType::mxfp4, DType::tq1_0, DType::tq2_0, DType::iq1_s, DType::iq1_m, DType::iq2_xxs,
                                  DType::iq2_xs, DType::iq2_s, DType::iq3_xxs, DType::iq3_s};

/// Random blocks of any type; scales are tame binary16 numbers, everything else is any bit pattern.
Weight random_weight(DType type, std::size_t rows, std::size_t cols, unsigned seed = 7) {
  std::mt19937 random(seed);
  Tensor tensor(type, {rows, cols});
  std::vector<float> numbers(rows * cols);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  for (float& number : numbers) number = normal(random);
  if (type <= DType::q5_1 || type == DType::mxfp4) {
    dtype_info(type).compress(numbers.data(), tensor.bytes().data(), numbers.size());
    return make_weight(std::move(tensor));
  }
  for (std::byte& byte : tensor.bytes()) byte = static_cast<std::byte>(random());
  const DTypeInfo& info = dtype_info(type);
  for (std::size_t at = 0; at < tensor.bytes().size(); at += info.block_bytes) {
    const std::uint16_t scales[] = {f16_from_f32(0.001f * static_cast<float>(1 + random() % 9)), f16_from_f32(0.02f)};
    std::memcpy(tensor.bytes().data() + at + info.scale_offset, scales, info.scale_count * sizeof scales[0]);
  }
  return make_weight(std::move(tensor));
}

std::vector<float> random_rows(std::size_t count, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

struct Result {
  std::vector<float> out;
  double relative_error;  // against double sums of the same numbers
};

Result multiply(Precision precision, const Weight& weight, const std::vector<float>& x, std::size_t threads = 2, bool coarse = true) {
  ThreadPool pool(threads, initialize_worker);
  const auto ops = make_cpu_ops(precision, pool);
  const std::size_t rows = x.size() / weight.cols;
  Tensor bias(DType::f32, {weight.rows});
  for (std::size_t c = 0; c < weight.rows; ++c) bias.floats()[c] = 0.01f * static_cast<float>(c);
  const Weight bias_weight = make_weight(std::move(bias));
  Result result{std::vector<float>(rows * weight.rows, std::numeric_limits<float>::quiet_NaN()), 0.0};
  const Product product{&weight, &bias_weight, {result.out.data(), {rows, weight.rows}}, coarse};
  ops->multiply({x.data(), {rows, weight.cols}}, {&product, 1});
  const Tensor plain = expand(weight);
  double difference = 0.0, size = 0.0;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < weight.rows; ++c) {
      double sum = static_cast<double>(0.01f * static_cast<float>(c));
      for (std::size_t k = 0; k < weight.cols; ++k) {
        sum += static_cast<double>(x[r * weight.cols + k]) * plain.floats()[c * weight.cols + k];
      }
      difference += std::pow(sum - result.out[r * weight.rows + c], 2);
      size += sum * sum;
    }
  }
  result.relative_error = std::sqrt(difference / size);
  return result;
}

using Products = EverySimdTarget;

TEST_P(Products, EveryTypeAndRowCountAgreesWithDoubles) {
  for (const DType type : weight_types) {
    const Weight weight = random_weight(type, 37, 512);
    for (const std::size_t rows : {1u, 2u, 3u, 5u, 8u, 9u, 33u}) {
      SCOPED_TRACE(testing::Message() << dtype_info(type).name << " x " << rows);
      const std::vector<float> x = random_rows(rows * 512);
      EXPECT_LE(multiply(Precision::exact, weight, x).relative_error, 1e-6);
      // bfloat16 keeps 8 bits; few rows are never rounded so coarsely
      EXPECT_LE(multiply(Precision::fast, weight, x).relative_error, rows <= 8 ? 1e-4 : 5e-3);
    }
  }
}

/// What 8 bits make of 32 numbers: scale * whole numbers.
struct Rounded {
  float scale = 0.0f;
  int numbers[32] = {};
};
Rounded rounded(const float* x, std::size_t count, float full = 127.0f) {
  Rounded chunk;
  float largest = 0.0f;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[i]));
  if (largest < 1e-30f) return chunk;
  chunk.scale = largest / full;
  const float inverse = full / largest;
  for (std::size_t i = 0; i < count; ++i) chunk.numbers[i] = static_cast<int>(std::nearbyint(x[i] * inverse));
  return chunk;
}

/// Relative distance of rows of 8-bit products from their definition in double.
double distance_from_definition(const Weight& weight, const std::vector<float>& x, const std::vector<float>& out) {
  const Tensor plain = expand(weight);
  const float full = weight.type == DType::q4_0 ? 120.0f : weight.type == DType::q5_0 ? 112.0f : 127.0f;  // whole levels stay whole
  double difference = 0.0, size = 0.0;
  for (std::size_t r = 0; r < x.size() / weight.cols; ++r) {
    for (std::size_t c = 0; c < weight.rows; ++c) {
      double sum = static_cast<double>(0.01f * static_cast<float>(c));
      for (std::size_t k = 0; k < weight.cols; k += 32) {
        const std::size_t count = std::min<std::size_t>(32, weight.cols - k);
        const Rounded a = rounded(x.data() + r * weight.cols + k, count), b = rounded(plain.floats().data() + c * weight.cols + k, count, full);
        int products = 0;
        for (std::size_t i = 0; i < count; ++i) products += a.numbers[i] * b.numbers[i];
        sum += static_cast<double>(a.scale) * b.scale * products;
      }
      difference += std::pow(sum - out[r * weight.rows + c], 2);
      size += sum * sum;
    }
  }
  return std::sqrt(difference / size);
}

TEST(EightBitProducts, AreWhatTheyAreDefinedToBe) {
  if (!has_int8_products()) GTEST_SKIP() << "no 8-bit products on this CPU";
  for (const DType type : weight_types) {
    for (const std::size_t columns : {1u, 16u, 31u, 33u, 64u, 70u}) {
      const Weight weight = random_weight(type, columns, 768);
      for (const std::size_t rows : {9u, 12u, 13u, 98u}) {
        SCOPED_TRACE(testing::Message() << dtype_info(type).name << " " << columns << " x " << rows);
        const std::vector<float> x = random_rows(rows * 768);
        const std::vector<float> out = multiply(Precision::int8, weight, x).out;
        EXPECT_LE(distance_from_definition(weight, x, out), 1e-6);
        if (columns != 31) continue;
        EXPECT_EQ(multiply(Precision::int8, weight, x, 3).out, out);
      }
    }
  }
  for (const std::size_t cols : {1u, 7u, 33u, 100u, 160u}) {
    const Weight weight = random_weight(DType::f16, 19, cols);
    const std::vector<float> x = random_rows(13 * cols);
    EXPECT_LE(distance_from_definition(weight, x, multiply(Precision::int8, weight, x).out), 1e-6) << cols;
  }
}

TEST(EightBitProducts, AreForCoarseProductsAndManyRows) {
  if (!has_int8_products()) GTEST_SKIP() << "no 8-bit products on this CPU";
  const Weight weight = random_weight(DType::q8_0, 37, 512);
  for (const std::size_t rows : {1u, 8u, 33u}) {
    const std::vector<float> x = random_rows(rows * 512), fast = multiply(Precision::fast, weight, x).out;
    EXPECT_EQ(multiply(Precision::int8, weight, x, 2, false).out, fast) << rows;
    EXPECT_EQ(multiply(Precision::int8, weight, x).out == fast, rows <= 8) << rows;
  }
}

TEST(EightBitProducts, KeepWhatIsNoNumber) {
  if (!has_int8_products()) GTEST_SKIP() << "no 8-bit products on this CPU";
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = random_rows(12 * 64);
    x[3 * 64 + 40] = wrong;
    const std::vector<float> out = multiply(Precision::int8, random_weight(DType::q8_0, 5, 64), x).out;
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isfinite(out[i]), i / 5 != 3) << i;
  }
  const std::vector<float> tiny(12 * 64, 1e-38f), out = multiply(Precision::int8, random_weight(DType::q8_0, 5, 64), tiny).out;
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_FLOAT_EQ(out[i], 0.01f * static_cast<float>(i % 5));
}

TEST_P(Products, RaggedRowsAgreeWithDoubles) {
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::size_t cols : {1u, 7u, 31u, 33u, 100u}) {
      const Weight weight = random_weight(type, 19, cols);
      for (const std::size_t rows : {1u, 13u}) {
        SCOPED_TRACE(testing::Message() << dtype_info(type).name << " " << cols << " x " << rows);
        EXPECT_LE(multiply(Precision::exact, weight, random_rows(rows * cols)).relative_error, 1e-6);
        EXPECT_LE(multiply(Precision::fast, weight, random_rows(rows * cols)).relative_error, 6e-3);
      }
    }
  }
}

TEST_P(Products, ExactRowsDoNotDependOnTheirCompany) {
  for (const DType type : weight_types) {
    const Weight weight = random_weight(type, 70, 768);
    const std::vector<float> x = random_rows(40 * 768);
    const std::vector<float> together = multiply(Precision::exact, weight, x, 3).out;
    for (const std::size_t rows : {1u, 2u, 7u, 11u}) {
      const std::vector<float> some =
          multiply(Precision::exact, weight, {x.begin(), x.begin() + static_cast<std::ptrdiff_t>(rows * 768)}, 1).out;
      EXPECT_TRUE(std::equal(some.begin(), some.end(), together.begin())) << dtype_info(type).name << " x " << rows;
    }
  }
}

TEST_P(Products, ExpansionEqualsTheDefinitionInEveryBit) {
  for (const DType type : weight_types) {
    const Weight weight = random_weight(type, 5, 1024);
    const Tensor plain = expand(weight);
    const WeightPanel panel{type, weight.data, weight.stride_bytes(), 5, 1024};
    std::vector<float> expanded(5 * 1024);
    std::vector<std::uint16_t> rounded(5 * 1024);
    expand_panel(panel, DenseRows<float>{expanded.data(), 1024, 5});
    expand_panel(panel, DenseRows<std::uint16_t>{rounded.data(), 1024, 5});
    for (std::size_t i = 0; i < expanded.size(); ++i) {
      ASSERT_EQ(expanded[i], plain.floats()[i]) << dtype_info(type).name << " " << i;
      ASSERT_EQ(rounded[i], bf16_from_f32(plain.floats()[i])) << dtype_info(type).name << " " << i;
    }
  }
}

TEST_P(Products, EveryHalfIsConvertedLikeTheDefinition) {
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> numbers(65536);
  expand_panel({DType::f16, reinterpret_cast<const std::byte*>(halves.data()), 0, 1, 65536},
               DenseRows<float>{numbers.data(), 65536, 1});
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const float expected = f32_from_f16(halves[i]);
    ASSERT_TRUE(numbers[i] == expected || (std::isnan(numbers[i]) && std::isnan(expected))) << i;
  }
}

TEST_P(Products, ExtremeNumbersNeitherSaturateNorVanish) {
  for (const DType type : {DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1}) {
    std::vector<float> numbers(4 * 1536);  // levels at both ends of their range
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i % 3 == 0 ? -8.0f : 7.0f;
    Tensor tensor(type, {4, 1536});
    dtype_info(type).compress(numbers.data(), tensor.bytes().data(), numbers.size());
    const Weight weight = make_weight(std::move(tensor));
    for (const float scale : {1e-30f, 1.0f, 1e30f}) {
      std::vector<float> x(1536, scale);
      x[5] = -scale;
      for (const Precision precision : {Precision::exact, Precision::fast}) {
        EXPECT_LE(multiply(precision, weight, x).relative_error, 1e-4) << dtype_info(type).name << " " << scale;
      }
    }
    std::vector<float> broken(1536, 1.0f);
    broken[77] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(multiply(Precision::exact, weight, broken).out[0])) << dtype_info(type).name;
    EXPECT_TRUE(std::isnan(multiply(Precision::fast, weight, broken).out[0])) << dtype_info(type).name;
    std::vector<float> zeros(1536, 0.0f);
    EXPECT_EQ(multiply(Precision::fast, weight, zeros).out[0], 0.0f);
  }
}

TEST_P(Products, LevelsAtTheirEndsNeitherSaturateNorVanish) {
  for (const DType type : weight_types) {
    const DTypeInfo& info = dtype_info(type);
    if (!info.quantized) continue;
    for (const std::byte level : {std::byte{0x00}, std::byte{0x80}, std::byte{0x7f}, std::byte{0xff}, std::byte{0xaa}, std::byte{0x55}}) {
      // Whose scales lie among these bytes, and are then not finite.
      if (level == std::byte{0xff} && (type == DType::mxfp4 || type == DType::iq1_m)) continue;
      Tensor tensor(type, {4, 1536});
      std::fill(tensor.bytes().begin(), tensor.bytes().end(), level);
      for (std::size_t at = 0; at < tensor.bytes().size(); at += info.block_bytes) {
        // The largest scale, and a minimum of the other sign: nothing cancels.
        const std::uint16_t scales[] = {0x7bff, 0xfbff};
        std::memcpy(tensor.bytes().data() + at + info.scale_offset, scales, info.scale_count * sizeof scales[0]);
      }
      const Weight weight = make_weight(std::move(tensor));
      for (const float size : {1e-30f, 1.0f, 1e20f}) {
        std::vector<float> x = random_rows(1536);  // the same number everywhere would let levels of both signs cancel
        for (float& number : x) number *= size;
        for (const Precision precision : {Precision::exact, Precision::fast}) {
          const Result result = multiply(precision, weight, x);
          const bool zero = result.out[0] == 0.0f && expand(weight).floats()[0] == 0.0f;
          EXPECT_TRUE(zero || result.relative_error <= 1e-3) << info.name << " " << std::to_integer<int>(level) << " " << size << ": " << result.relative_error;
        }
      }
    }
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(Products);

TEST(ProductThreads, ThePoolIsAllThereIs) {
  const auto threads = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
    return count;
  };
  std::thread([] {}).join();  // tsan starts a thread of its own with the first one
  const std::size_t before = threads();
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::fast, pool);
  const Weight weight = random_weight(DType::q4_1, 256, 512);
  const std::vector<float> x = random_rows(64 * 512);
  std::vector<float> out(64 * 256);
  const Product product{&weight, nullptr, {out.data(), {64, 256}}};
  for (int round = 0; round < 3; ++round) ops->multiply({x.data(), {64, 512}}, {&product, 1});
  EXPECT_EQ(threads(), before + 1);  // oneDNN starts none of its own
}

}  // namespace
}  // namespace vitrine
