// Device kernels. Their phases are played here thread after thread, so that what a block computes is tested without a device;
// with one, the conformance tests run the kernels themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/tensor/tensor.h"
#include "kernels/attention/tiled_cuda_internal.h"
#include "kernels/kernels.h"
#include "kernels/ops/cuda_product.h"
#include "kernels/ops/cuda_product_internal.h"
#include "kernels/pattern/pattern.h"

namespace vitrine {
namespace {

/// A block's threads one after the other, phase by phase. Backwards too: what a phase reads must not be what another
/// thread writes in it.
template <class State>
struct PlayedTeam {
  std::vector<State> states;
  bool backwards = false;
  template <class Phase>
  void each(const Phase& phase) {
    const auto count = static_cast<unsigned>(states.size());
    for (unsigned i = 0; i < count; ++i) {
      const unsigned thread = backwards ? count - 1 - i : i;
      phase(thread, states[thread]);
    }
  }
};

std::vector<float> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

struct Case {
  std::size_t heads, kv_heads, head_dim, q_len, kv_len;
  ScoreRule score{};
  bool half = false;
  std::size_t q_start = static_cast<std::size_t>(-1);  // as given, or the last queries of the keys
};

/// Outputs poisoned before anything is written.
struct Result {
  std::vector<float> out, normalizer;
  std::vector<RowStats> stats;
  explicit Result(const Case& c)
      : out(c.q_len * c.heads * c.head_dim, NAN), normalizer(c.q_len * c.heads, NAN), stats(c.q_len * c.heads, RowStats{NAN, NAN, NAN}) {}
};

struct Factors {
  std::vector<float> q, k, v;
  std::vector<std::uint16_t> half_k, half_v;
  explicit Factors(const Case& c)
      : q(random_numbers(c.q_len * c.heads * c.head_dim, 1)), k(random_numbers(c.kv_len * c.kv_heads * c.head_dim, 2)), v(random_numbers(k.size(), 3)) {
    for (const float number : k) half_k.push_back(f16_from_f32(number));
    for (const float number : v) half_v.push_back(f16_from_f32(number));
  }
};

ScoreRule rule_of(const Case& c) {
  ScoreRule rule = c.score;
  rule.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  return rule;
}

std::size_t start_of(const Case& c) { return c.q_start != static_cast<std::size_t>(-1) ? c.q_start : c.kv_len >= c.q_len ? c.kv_len - c.q_len : 0; }

Result by_reference(const Case& c, const Factors& f) {
  Result result(c);
  const auto view = [&](const std::vector<float>& numbers, const std::vector<std::uint16_t>& halves) {
    const auto bytes = static_cast<std::ptrdiff_t>(c.head_dim * (c.half ? 2 : 4));
    const void* data = c.half ? static_cast<const void*>(halves.data()) : numbers.data();
    return KvView{c.half ? DType::f16 : DType::f32, static_cast<const std::byte*>(data), bytes, bytes * static_cast<std::ptrdiff_t>(c.kv_len), c.kv_len, c.kv_heads, c.head_dim};
  };
  const AttentionProblem problem{.q = {f.q.data(), {c.q_len, c.heads, c.head_dim}},
                                 .k = view(f.k, f.half_k),
                                 .v = view(f.v, f.half_v),
                                 .out = {result.out.data(), {c.q_len, c.heads, c.head_dim}},
                                 .normalizer = {result.normalizer.data(), {c.q_len, c.heads}},
                                 .stats = {result.stats.data(), {c.q_len, c.heads}},
                                 .score = rule_of(c),
                                 .q_start = start_of(c)};
  const KernelChoice choice = choose_attention_kernel("reference");
  ThreadPool pool(1, initialize_worker);
  Tensor scratch(DType::f32, {choice.kernel->scratch_bytes({&problem, 1}, choice.options, 1) / sizeof(float) + 1});
  KernelReport report;
  choice.kernel->run({{&problem, 1}, choice.options, pool, scratch.bytes(), report});
  return result;
}

template <unsigned dim>
Result by_played_blocks(const Case& c, const Factors& f, bool backwards) {
  Result result(c);
  const auto count = [](std::size_t value) { return static_cast<std::uint32_t>(value); };
  const tiled::Problem problem{f.q.data(), c.half ? static_cast<const void*>(f.half_k.data()) : f.k.data(), c.half ? static_cast<const void*>(f.half_v.data()) : f.v.data(),
                               result.out.data(), result.normalizer.data(), result.stats.data(), rule_of(c),
                               count(c.q_len), count(c.kv_len), count(c.heads), count(c.kv_heads), count(c.head_dim), count(start_of(c)), c.half};
  std::vector<float> memory(tiled::shared_numbers(dim));
  for (unsigned head = 0; head < problem.kv_heads; ++head) {
    for (unsigned block = 0; block < tiled::row_blocks(problem); ++block) {
      std::ranges::fill(memory, NAN);
      PlayedTeam<tiled::State<dim>> team{std::vector<tiled::State<dim>>(tiled::threads), backwards};
      tiled::Block<dim>(problem, block, head, memory.data()).run(team);
    }
  }
  return result;
}

double relative_error(const std::vector<float>& values, const std::vector<float>& expected) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isinf(expected[i]) && values[i] == expected[i]) continue;
    difference += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / std::max(size, 1e-30));
}

std::vector<Case> cases() {
  std::vector<Case> made;
  for (const std::size_t head_dim : {1u, 6u, 33u, 64u, 80u, 128u, 200u}) made.push_back({4, 2, head_dim, 19, 90});
  for (const bool half : {false, true}) {
    made.push_back({6, 2, 16, 1, 70, {}, half});    // decoding
    made.push_back({7, 1, 16, 40, 40, {}, half});   // several row tiles, a group that is no power of two
    made.push_back({70, 1, 8, 3, 20, {}, half});    // a group larger than a tile
    for (const Mask mask : {Mask::causal, Mask::none}) {
      for (const std::size_t window : {0u, 1u, 30u, 100u}) made.push_back({4, 2, 24, 70, 150, {.mask = mask, .window = window, .sinks = window / 10}, half});
      made.push_back({3, 1, 20, 33, 90, {.soft_cap = 1.5f, .mask = mask}, half});
    }
    made.push_back({2, 1, 16, 5, 40, {.window = 4}, half, 100});  // nothing is visible
  }
  return made;
}

TEST(TiledBlocks, EqualReference) {
  for (const Case& c : cases()) {
    const Factors factors(c);
    const Result expected = by_reference(c, factors);
    for (const bool backwards : {false, true}) {
      const Result found = c.head_dim <= 64    ? by_played_blocks<64>(c, factors, backwards)
                           : c.head_dim <= 128 ? by_played_blocks<128>(c, factors, backwards)
                                               : by_played_blocks<256>(c, factors, backwards);
      SCOPED_TRACE(testing::Message() << c.heads << "/" << c.kv_heads << " heads of " << c.head_dim << ", " << c.q_len << " x " << c.kv_len << " window "
                                      << c.score.window << " cap " << c.score.soft_cap << (c.half ? " half" : ""));
      EXPECT_LE(relative_error(found.out, expected.out), 1e-5);
      EXPECT_LE(relative_error(found.normalizer, expected.normalizer), 1e-5);
      for (std::size_t i = 0; i < found.stats.size(); ++i) {
        EXPECT_NEAR(found.stats[i].entropy, expected.stats[i].entropy, 2e-5);
        EXPECT_NEAR(found.stats[i].distance, expected.stats[i].distance, 1e-5 * (1 + expected.stats[i].distance));
        EXPECT_NEAR(found.stats[i].first_key, expected.stats[i].first_key, 1e-5);
      }
    }
  }
}

/// The first keys of every head.
std::vector<float> first_keys(const std::vector<float>& rows, const Case& whole, std::size_t kv_len) {
  std::vector<float> some;
  for (std::size_t h = 0; h < whole.kv_heads; ++h) {
    const auto head = rows.begin() + static_cast<std::ptrdiff_t>(h * whole.kv_len * whole.head_dim);
    some.insert(some.end(), head, head + static_cast<std::ptrdiff_t>(kv_len * whole.head_dim));
  }
  return some;
}

TEST(TiledBlocks, ARowsBitsDoNotDependOnTheRowsBesideIt) {
  const Case whole{6, 2, 20, 75, 75};
  const Factors factors(whole);
  const std::vector<float> expected = by_played_blocks<64>(whole, factors, false).out;
  for (const std::size_t first : {0u, 1u, 40u}) {
    const Case part{6, 2, 20, 30, first + 30, {}, false, first};
    Factors some = factors;
    some.k = first_keys(factors.k, whole, part.kv_len);
    some.v = first_keys(factors.v, whole, part.kv_len);
    some.q.erase(some.q.begin(), some.q.begin() + static_cast<std::ptrdiff_t>(first * 6 * 20));
    const std::vector<float> found = by_played_blocks<64>(part, some, false).out;
    EXPECT_TRUE(std::equal(found.begin(), found.end(), expected.begin() + static_cast<std::ptrdiff_t>(first * 6 * 20))) << first;
  }
}

TEST(TiledBlocks, SkipTilesThatNobodySeesAndNoOthers) {
  for (const Mask mask : {Mask::causal, Mask::none}) {
    for (const std::size_t window : {0u, 1u, 5u, 33u, 64u}) {
      for (const std::size_t sinks : {0u, 3u, 40u}) {
        const ScoreRule rule{.mask = mask, .window = window, .sinks = sinks};
        std::size_t skipped = 0;
        for (std::size_t first = 0; first < 150; first += 7) {
          for (std::size_t tile = 0; tile < 200; tile += tiled::key_tile) {
            bool seen = false;
            for (std::size_t position = first; position < first + 10; ++position) {
              for (std::size_t key = tile; key < tile + tiled::key_tile; ++key) {
                EXPECT_EQ(tiled::sees(rule, position, key), visible(rule, {}, position, key));
                seen = seen || visible(rule, {}, position, key);
              }
            }
            const bool matters = tiled::tile_matters(rule, first, first + 9, tile);
            EXPECT_TRUE(matters || !seen) << first << " " << tile << " window " << window;
            // Sinks count whatever the mask says of the rest of their tile.
            if (tile >= sinks || window == 0) {
              EXPECT_EQ(matters, seen) << first << " " << tile << " window " << window;
            }
            skipped += matters ? 0 : 1;
          }
        }
        EXPECT_EQ(skipped > 0, mask == Mask::causal || window > 0);
      }
    }
  }
}

TEST(TiledProduct, EqualsDoubleArithmetic) {
  for (const auto& [rows, columns, inner] : {std::tuple{1u, 1u, 1u}, {3u, 70u, 33u}, {64u, 64u, 16u}, {65u, 130u, 100u}}) {
    const std::vector<float> x = random_numbers(rows * inner, 1), weight = random_numbers(columns * inner, 2);
    std::vector<float> out(rows * columns, NAN), expected(out.size()), memory(tiled_product::shared_numbers, NAN);
    for (std::size_t row = 0; row < rows; row += tiled_product::tile) {
      for (std::size_t column = 0; column < columns; column += tiled_product::tile) {
        PlayedTeam<tiled_product::State> team{std::vector<tiled_product::State>(tiled_product::threads)};
        tiled_product::Block block{{x.data(), weight.data(), out.data(), rows, columns, inner}, row, column, memory.data()};
        block.run(team);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        double sum = 0.0;
        for (std::size_t k = 0; k < inner; ++k) sum += static_cast<double>(x[r * inner + k]) * weight[c * inner + k];
        expected[r * columns + c] = static_cast<float>(sum);
      }
    }
    EXPECT_LE(relative_error(out, expected), 1e-6) << rows << " " << columns << " " << inner;
  }
}

TEST(CudaProduct, EqualsDoubleArithmeticOnADevice) {
  if (!cuda_missing().empty()) GTEST_SKIP() << cuda_missing();
  constexpr std::size_t rows = 130, columns = 200, inner = 577, stride = 600;
  const std::vector<float> x = random_numbers(rows * stride, 1), weight = random_numbers(columns * inner, 2);
  std::vector<float> out(rows * columns, NAN), expected(out.size());
  multiply_on_device({x.data(), stride, rows}, {weight.data(), inner, columns}, inner, {out.data(), columns, rows});
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      double sum = 0.0;
      for (std::size_t k = 0; k < inner; ++k) sum += static_cast<double>(x[r * stride + k]) * weight[c * inner + k];
      expected[r * columns + c] = static_cast<float>(sum);
    }
  }
  EXPECT_LE(relative_error(out, expected), 1e-6);
}

TEST(CudaKernels, SayWhatIsMissing) {
  const std::string missing = cuda_missing();
  if (missing.empty()) GTEST_SKIP() << "there is a device";
  EXPECT_EQ(missing.find('\n'), std::string::npos);
  EXPECT_TRUE(missing.starts_with("no CUDA") || missing.starts_with("a CUDA device")) << missing;
  const KvView none{.kv_len = 1, .kv_heads = 1, .head_dim = 1};
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->device != "cuda") continue;
    EXPECT_EQ(kernel->refuses({.q = {nullptr, {1, 1, 1}}, .k = none, .v = none, .out = {nullptr, {1, 1, 1}}}, {}), "a CUDA device (" + missing + ")") << kernel->name;
  }
  try {
    multiply_on_device({nullptr, 0, 0}, {nullptr, 0, 0}, 0, {nullptr, 0, 0});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "CUDA: expected a device, found " + missing);
  }
}

}  // namespace
}  // namespace vitrine
