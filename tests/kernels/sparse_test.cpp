// Sparse weights against the dense ones that they are made of, on every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/tensor/sparse_rows.h"
#include "kernels/kernels.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

constexpr DType types[] = {DType::f32, DType::f16, DType::bf16, DType::q8_0};
constexpr double shares[] = {0.0, 0.1, 0.5, 0.75, 0.9, 0.97, 1.0};  // of zeros

/// Random numbers, so many of them zero; every 41st row has none, every 43rd nothing else.
Weight random_weight(DType type, std::size_t rows, std::size_t cols, double share, unsigned seed = 5) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<float> numbers(rows * cols);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::size_t row = i / cols;
    const bool zero = row % 41 == 40 || (row % 43 != 42 && uniform(random) < share);
    numbers[i] = zero ? 0.0f : normal(random);
  }
  Tensor tensor(type, {rows, cols});
  dtype_info(type).compress(numbers.data(), tensor.bytes().data(), numbers.size());
  return make_weight(std::move(tensor));
}

/// Of every four numbers the two at these places, in turn.
Weight two_of_four(DType type, std::size_t rows, std::size_t cols) {
  Tensor numbers = expand(random_weight(type, rows, cols, 0.0));
  constexpr std::uint8_t patterns[] = {0b0011, 0b0101, 0b1001, 0b0110, 0b1010, 0b1100};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if ((patterns[i / 4 % 6] >> i % 4 & 1u) == 0) numbers.floats()[i] = 0.0f;
  }
  Tensor tensor(type, {rows, cols});
  dtype_info(type).compress(numbers.floats().data(), tensor.bytes().data(), numbers.size());
  return make_weight(std::move(tensor));
}

std::vector<float> random_rows(std::size_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

std::vector<float> multiply(Precision precision, const Weight& weight, const std::vector<float>& x, std::size_t threads = 2) {
  ThreadPool pool(threads, initialize_worker);
  const auto ops = make_cpu_ops(precision, pool);
  const std::size_t rows = x.size() / weight.cols;
  Tensor bias(DType::f32, {weight.rows});
  for (std::size_t c = 0; c < weight.rows; ++c) bias.floats()[c] = 0.01f * static_cast<float>(c);
  const Weight bias_weight = make_weight(std::move(bias));
  std::vector<float> out(rows * weight.rows, std::nanf(""));
  const Product product{&weight, &bias_weight, {out.data(), {rows, weight.rows}}, true};
  ops->multiply({x.data(), {rows, weight.cols}}, {&product, 1});
  return out;
}

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return difference == 0.0 ? 0.0 : std::sqrt(difference / size);
}

TEST(SparseRowsOfWeights, HoldTheSameNumbers) {
  for (const DType type : types) {
    for (const double share : shares) {
      for (const std::size_t cols : {1u, 5u, 31u, 32u, 33u, 64u, 100u, 511u, 576u}) {
        if (cols % dtype_info(type).block_size != 0) continue;
        SCOPED_TRACE(testing::Message() << dtype_info(type).name << " " << share << " x " << cols);
        const Weight dense = random_weight(type, 47, cols, share), sparse = make_sparse(dense);
        const Tensor a = expand(dense), b = expand(sparse);
        ASSERT_TRUE(std::equal(a.floats().begin(), a.floats().end(), b.floats().begin()));
        EXPECT_NEAR(share_of_zeros(sparse, 1), share_of_zeros(dense, dense.rows), 1e-12);
      }
    }
  }
}

/// Words of marks, scales and what is there, and where rows begin.
TEST(SparseRowsOfWeights, SayHowLargeTheyAre) {
  const std::size_t rows = 40, cols = 64, there = rows * cols / 2, begins = (rows + 1) * sizeof(std::size_t);
  EXPECT_EQ(stored_bytes(make_sparse(two_of_four(DType::f16, rows, cols))), rows * 8 + there * 2 + begins);
  EXPECT_EQ(stored_bytes(make_sparse(two_of_four(DType::f32, rows, cols))), rows * 8 + there * 4 + begins);
  EXPECT_EQ(stored_bytes(make_sparse(two_of_four(DType::q8_0, rows, cols))), rows * (8 + 4) + there + begins);
  EXPECT_EQ(stored_bytes(two_of_four(DType::f16, rows, cols)), rows * cols * 2);
}

using SparseProducts = EverySimdTarget;

TEST_P(SparseProducts, AreTheDenseOnesInEveryBitOfExactPrecision) {
  for (const DType type : types) {
    for (const double share : shares) {
      const Weight dense = random_weight(type, 91, 544, share), sparse = make_sparse(dense);
      for (const std::size_t rows : {1u, 2u, 3u, 4u, 5u, 7u, 8u, 9u, 33u}) {
        SCOPED_TRACE(testing::Message() << dtype_info(type).name << " " << share << " x " << rows);
        const std::vector<float> x = random_rows(rows * 544);
        ASSERT_EQ(multiply(Precision::exact, sparse, x), multiply(Precision::exact, dense, x));
      }
    }
  }
}

TEST_P(SparseProducts, AreCloseToTheDenseOnesUnderFastPrecision) {
  for (const DType type : types) {
    for (const double share : shares) {
      const Weight dense = random_weight(type, 91, 544, share), sparse = make_sparse(dense);
      for (const std::size_t rows : {1u, 3u, 8u, 65u}) {
        SCOPED_TRACE(testing::Message() << dtype_info(type).name << " " << share << " x " << rows);
        const std::vector<float> x = random_rows(rows * 544);
        EXPECT_LE(relative_difference(multiply(Precision::fast, sparse, x), multiply(Precision::fast, dense, x)), rows <= 8 ? 1e-4 : 5e-3);
      }
    }
  }
}

/// Rows that end inside a group, patterns of four, few columns of output.
TEST_P(SparseProducts, TakeAnySize) {
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::size_t cols : {1u, 3u, 31u, 36u, 65u, 511u}) {
      for (const std::size_t outs : {1u, 2u, 5u, 16u}) {
        for (const std::size_t rows : {1u, 4u, 9u}) {
          SCOPED_TRACE(testing::Message() << dtype_info(type).name << " " << outs << " x " << cols << " x " << rows);
          const Weight dense = random_weight(type, outs, cols, 0.4);
          const std::vector<float> x = random_rows(rows * cols);
          ASSERT_LE(relative_difference(multiply(Precision::exact, make_sparse(dense), x), multiply(Precision::exact, dense, x)), 1e-6);
        }
      }
    }
    const Weight pattern = two_of_four(type, 19, 128);
    const std::vector<float> x = random_rows(128);
    ASSERT_EQ(multiply(Precision::exact, make_sparse(pattern), x), multiply(Precision::exact, pattern, x));
  }
}

TEST_P(SparseProducts, DoNotDependOnThreads) {
  const Weight sparse = make_sparse(random_weight(DType::f16, 301, 576, 0.5));
  const std::vector<float> x = random_rows(576);
  const std::vector<float> one = multiply(Precision::exact, sparse, x, 1);
  EXPECT_EQ(multiply(Precision::exact, sparse, x, 2), one);
  EXPECT_EQ(multiply(Precision::exact, sparse, x, 3), one);
}

TEST_P(SparseProducts, FlowBack) {
  const Weight dense = random_weight(DType::f16, 37, 65, 0.5), sparse = make_sparse(dense);
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const std::vector<float> g = random_rows(3 * 37);
  std::vector<float> of_dense(3 * 65), of_sparse(3 * 65);
  ops->multiply_transposed({g.data(), {3, 37}}, dense, {of_dense.data(), {3, 65}});
  ops->multiply_transposed({g.data(), {3, 37}}, sparse, {of_sparse.data(), {3, 65}});
  EXPECT_EQ(of_sparse, of_dense);
}

INSTANTIATE_EVERY_SIMD_TARGET(SparseProducts);

}  // namespace
}  // namespace vitrine
