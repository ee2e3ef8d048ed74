// The cheap operations against their definitions in double, on every instruction set.
#include "kernels/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/base/half.h"
#include "kernels/kernels.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

using Elementwise = EverySimdTarget;

std::vector<float> random_numbers(std::size_t count, float scale = 1.0f, unsigned seed = 5) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.2f, scale);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

constexpr std::size_t odd_sizes[] = {1, 3, 15, 16, 17, 64, 100, 577};

TEST_P(Elementwise, Norms) {
  for (const NormKind kind : {NormKind::layer, NormKind::rms}) {
    for (const std::size_t width : odd_sizes) {
      for (const float magnitude : {1e-3f, 1.0f, 1e4f}) {
        const std::vector<float> x = random_numbers(width, magnitude), gain = random_numbers(width, 1.0f, 2),
                                 shift = random_numbers(width, 1.0f, 3);
        std::vector<float> out(width, NAN), plain(width, NAN);
        float scale = NAN;
        normalize_row(kind, 1e-5f, {x.data(), gain.data(), shift.data(), out.data(), &scale, width});
        normalize_row(kind, 1e-5f, {x.data(), nullptr, nullptr, plain.data(), nullptr, width});
        double mean = 0.0, squares = 0.0;
        if (kind == NormKind::layer) {
          for (const float number : x) mean += number / static_cast<double>(width);
        }
        for (const float number : x) squares += (number - mean) * (number - mean) / static_cast<double>(width);
        const double denominator = std::sqrt(squares + 1e-5);
        EXPECT_NEAR(scale, denominator, 1e-6 * denominator);
        for (std::size_t i = 0; i < width; ++i) {
          const double value = (x[i] - mean) / denominator;
          EXPECT_NEAR(plain[i], value, 2e-6 * (1 + std::fabs(value)));
          EXPECT_NEAR(out[i], value * gain[i] + shift[i], 4e-6 * (1 + std::fabs(value * gain[i])));
        }
      }
    }
  }
}

double defined(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu_erf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::relu:
      return std::max(x, 0.0);
  }
  return NAN;
}

TEST_P(Elementwise, Activations) {
  for (const Activation activation :
       {Activation::gelu_erf, Activation::gelu_tanh, Activation::silu, Activation::relu, Activation::tanh}) {
    std::vector<float> x;
    for (float number = -12.0f; number <= 12.0f; number += 0.0078f) x.push_back(number);
    for (const float number : {0.0f, -0.0f, 1e-20f, -1e-20f, 100.0f, -100.0f, 1e4f, -1e4f}) x.push_back(number);
    std::vector<float> out(x.size(), NAN), gated(x.size(), NAN), linear(x.size(), 3.0f);
    activate_row(activation, x, nullptr, out.data());
    activate_row(activation, x, linear.data(), gated.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = defined(activation, x[i]);
      // exp(y) of a rounded y has a relative error that grows with |y|: the tails
      EXPECT_NEAR(out[i], expected, 1e-6 * std::fabs(expected) + 3e-7 * std::exp(-x[i] * x[i] / 8) + 1e-30) << x[i];
      EXPECT_EQ(gated[i], 3.0f * out[i]);
    }
    x = {std::numeric_limits<float>::quiet_NaN()};
    activate_row(activation, x, nullptr, x.data());
    if (activation != Activation::relu) {
      EXPECT_TRUE(std::isnan(x[0]));
    }
  }
}

TEST_P(Elementwise, RotationsOfBothKinds) {
  for (const std::size_t pairs : {1u, 5u, 16u, 37u}) {
    const std::vector<float> x = random_numbers(2 * pairs);
    std::vector<float> cosine, sine;
    for (std::size_t i = 0; i < pairs; ++i)
      cosine.push_back(std::cos(0.3f * static_cast<float>(i))), sine.push_back(std::sin(0.3f * static_cast<float>(i)));
    for (const RopeKind kind : {RopeKind::half, RopeKind::interleaved}) {
      std::vector<float> out(2 * pairs, NAN), in_place = x;
      rotate_row(kind, {x.data(), out.data(), cosine.data(), sine.data(), pairs});
      rotate_row(kind, {in_place.data(), in_place.data(), cosine.data(), sine.data(), pairs});
      EXPECT_EQ(in_place, out);
      for (std::size_t i = 0; i < pairs; ++i) {
        const std::size_t a = kind == RopeKind::half ? i : 2 * i, b = kind == RopeKind::half ? i + pairs : 2 * i + 1;
        EXPECT_NEAR(out[a], x[a] * cosine[i] - x[b] * sine[i], 1e-6);
        EXPECT_NEAR(out[b], x[b] * cosine[i] + x[a] * sine[i], 1e-6);
      }
    }
  }
}

TEST_P(Elementwise, Sums) {
  for (const std::size_t count : odd_sizes) {
    const std::vector<float> a = random_numbers(count), b = random_numbers(count, 1.0f, 9);
    std::vector<float> out(count, NAN);
    add_row(a, b.data(), out.data());
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(out[i], a[i] + b[i]);
  }
}

TEST_P(Elementwise, LogSumExp) {
  for (const std::size_t count : {1u, 7u, 1024u, 50000u}) {
    for (const float offset : {-1000.0f, 0.0f, 1000.0f}) {
      std::vector<float> x = random_numbers(count, 4.0f);
      for (float& number : x) number += offset;
      double top = -1e300, sum = 0.0;
      for (const float number : x) top = std::max<double>(top, number);
      for (const float number : x) sum += std::exp(number - top);
      EXPECT_NEAR(log_sum_exp(x), top + std::log(sum), 1e-6) << count;
    }
  }
}

TEST_P(Elementwise, HalvesRoundLikeTheDefinition) {
  std::vector<float> x;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {  // every half, and numbers between and on the ties
    const float number = f32_from_f16(static_cast<std::uint16_t>(bits));
    x.push_back(number);
    x.push_back(number * 1.00048828125f);
    x.push_back(number * 1.0007f);
  }
  for (const float number : {65519.9f, 65520.0f, 1e30f, -1e30f, 1e-8f, 2.9802322e-8f}) x.push_back(number);
  std::vector<std::uint16_t> out(x.size());
  EXPECT_FALSE(store_f16_row(x, out.data()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(f32_from_f16(out[i])));
    } else {
      ASSERT_EQ(out[i], f16_from_f32(x[i])) << x[i];
    }
  }
}

TEST_P(Elementwise, HalvesSayWhatHasNoPlace) {
  std::uint16_t out[37];
  std::vector<float> x(37, -65504.0f);
  x[3] = INFINITY;
  x[30] = NAN;
  EXPECT_TRUE(store_f16_row(x, out));
  for (const std::size_t at : {0u, 15u, 16u, 31u, 36u}) {
    std::vector<float> large = x;
    large[at] = -65505.0f;
    EXPECT_FALSE(store_f16_row(large, out)) << at;
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(Elementwise);

}  // namespace
}  // namespace vitrine
