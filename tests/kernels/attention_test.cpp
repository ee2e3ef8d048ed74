// Every attention kernel of the table against `reference` and against the pattern tiles that explain it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <vector>

#include "core/base/error.h"
#include "core/model/kv_format.h"
#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "kernels/ops/kv_rows.h"
#include "kernels/pattern/pattern.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

struct Shape {
  std::size_t heads, kv_heads, head_dim, q_len, kv_len;
  DType kv = DType::f32;
  ScoreRule score{};
};

void PrintTo(const Shape& shape, std::ostream* stream) {
  *stream << shape.heads << "/" << shape.kv_heads << " heads of " << shape.head_dim << ", " << shape.q_len << " x "
          << shape.kv_len << " " << dtype_info(shape.kv).name << (shape.score.mask == Mask::causal ? " causal" : "")
          << " window " << shape.score.window << " sinks " << shape.score.sinks << " cap " << shape.score.soft_cap;
}

/// Random factors and poisoned outputs of one problem.
struct Data {
  Shape shape;
  std::vector<float> q, k, v, out, normalizer;
  std::vector<std::byte> k_stored, v_stored;  // where the cache is not f32
  std::vector<RowStats> stats;

  explicit Data(const Shape& wanted, unsigned seed = 1) : shape(wanted) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    const auto fill = [&](std::vector<float>& numbers, std::size_t count) {
      numbers.resize(count);
      for (float& number : numbers) number = normal(random);
    };
    fill(q, shape.q_len * shape.heads * shape.head_dim);
    fill(k, shape.kv_len * shape.kv_heads * shape.head_dim);
    fill(v, shape.kv_len * shape.kv_heads * shape.head_dim);
    if (shape.kv != DType::f32) {
      round(k, k_stored);
      round(v, v_stored);
    }
    const float poison = std::numeric_limits<float>::quiet_NaN();
    out.assign(q.size(), poison);
    normalizer.assign(shape.q_len * shape.heads, poison);
    stats.assign(normalizer.size(), RowStats{poison, poison, poison});
  }

  std::size_t head_bytes() const { return row_bytes(shape.kv, kv_head_numbers(shape.kv, shape.head_dim)); }

  /// Numbers to those that the cache stands for.
  void round(std::vector<float>& numbers, std::vector<std::byte>& stored) const {
    const std::size_t rows = numbers.size() / shape.head_dim;
    stored.resize(rows * head_bytes());
    for (std::size_t r = 0; r < rows; ++r) {
      const std::span<const float> row(numbers.data() + r * shape.head_dim, shape.head_dim);
      std::byte* target = stored.data() + r * head_bytes();
      dtype_info(shape.kv).quantized ? void(store_block_row(shape.kv, row, target)) : dtype_info(shape.kv).compress(row.data(), target, row.size());
    }
    const KvView held = view(numbers, stored);
    for (std::size_t r = 0; r < rows; ++r) held.expand(r / shape.kv_heads, r % shape.kv_heads, numbers.data() + r * shape.head_dim);
  }

  KvView view(const std::vector<float>& numbers, const std::vector<std::byte>& stored) const {
    const auto bytes = static_cast<std::ptrdiff_t>(head_bytes());
    const void* data = shape.kv == DType::f32 ? static_cast<const void*>(numbers.data()) : stored.data();
    return {.type = shape.kv,
            .rows = static_cast<const std::byte*>(data),
            .row_bytes = bytes * static_cast<std::ptrdiff_t>(shape.kv_heads),
            .head_bytes = bytes,
            .kv_len = shape.kv_len,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim};
  }

  AttentionProblem problem() {
    AttentionProblem made{.q = {q.data(), {shape.q_len, shape.heads, shape.head_dim}},
                          .k = view(k, k_stored),
                          .v = view(v, v_stored),
                          .out = {out.data(), {shape.q_len, shape.heads, shape.head_dim}},
                          .normalizer = {normalizer.data(), {shape.q_len, shape.heads}},
                          .stats = {stats.data(), {shape.q_len, shape.heads}},
                          .score = shape.score};
    made.score.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    made.q_start = shape.kv_len >= shape.q_len ? shape.kv_len - shape.q_len : 0;
    return made;
  }
};

KernelOptions options_of(const AttentionKernel& kernel) {
  return choose_attention_kernel(std::string(kernel.name) + ":" + std::string(kernel.example)).options;
}

/// Whether `reference` can do what the kernel does.
bool is_softmax(const AttentionKernel& kernel) { return kernel.rule(options_of(kernel)).kind == PatternKind::softmax; }

bool does(const AttentionKernel& kernel, const AttentionProblem& problem) { return kernel.refuses(problem, options_of(kernel)).empty(); }

/// What `reference` must be asked for to do what the kernel does with its options.
AttentionProblem under_rule_of(const AttentionKernel& kernel, AttentionProblem problem) {
  problem.score = narrowed(problem.score, kernel.rule(options_of(kernel))).value();
  return problem;
}

void run(const AttentionKernel& kernel, std::span<const AttentionProblem> problems, std::size_t threads = 2) {
  ThreadPool pool(threads, initialize_worker);
  const KernelOptions options = options_of(kernel);
  const std::size_t bytes = kernel.scratch_bytes(problems, options, threads);
  Tensor scratch(DType::f32, {bytes / sizeof(float) + 1});
  std::memset(scratch.bytes().data(), 0xff, scratch.bytes().size());  // NaN
  KernelReport report;
  kernel.run({problems, options, pool, scratch.bytes().first(bytes), report});
  ASSERT_EQ(report.failure, "");
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

std::vector<Shape> shapes() {
  std::vector<Shape> made;
  for (const std::size_t head_dim : {1u, 3u, 16u, 33u, 64u, 80u, 128u}) {
    made.push_back({.heads = 2, .kv_heads = 1, .head_dim = head_dim, .q_len = 17, .kv_len = 130});
  }
  for (const auto& [heads, kv_heads] : {std::pair{1u, 1u}, {3u, 3u}, {4u, 2u}, {6u, 3u}, {7u, 1u}, {9u, 3u}}) {
    for (const std::size_t q_len : {1u, 2u, 70u}) {
      made.push_back({.heads = heads, .kv_heads = kv_heads, .head_dim = 16, .q_len = q_len, .kv_len = 97});
    }
  }
  for (const std::size_t head_dim : {16u, 33u, 64u, 80u, 128u}) {  // decoding over a half-precision cache
    for (const auto& [heads, kv_heads] : {std::pair{1u, 1u}, {6u, 2u}, {7u, 1u}}) {
      for (const std::size_t kv_len : {1u, 65u, 200u}) {
        made.push_back({.heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = head_dim,
                        .q_len = 1,
                        .kv_len = kv_len,
                        .kv = DType::f16});
      }
    }
  }
  for (const DType kv : {DType::q8_0, DType::q4_1}) {  // heads that end inside a block, and inside a vector
    for (const std::size_t head_dim : {1u, 6u, 16u, 33u, 64u, 80u}) {
      for (const std::size_t q_len : {1u, 23u}) {
        made.push_back({.heads = 6, .kv_heads = 2, .head_dim = head_dim, .q_len = q_len, .kv_len = 90, .kv = kv});
      }
    }
  }
  for (const DType kv : {DType::f32, DType::f16, DType::q8_0, DType::q4_1}) {  // several ranges of keys
    for (const std::size_t q_len : {1u, 40u}) {
      made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 32, .q_len = q_len, .kv_len = 1100, .kv = kv});
      made.push_back({.heads = 4,
                      .kv_heads = 2,
                      .head_dim = 32,
                      .q_len = q_len,
                      .kv_len = 1100,
                      .kv = kv,
                      .score = {.window = 600, .sinks = 3}});
    }
  }
  made.push_back({.heads = 70, .kv_heads = 1, .head_dim = 8, .q_len = 3, .kv_len = 20});  // a group larger than a piece
  for (const std::size_t kv_len : {1u, 63u, 64u, 65u, 300u}) {
    made.push_back({.heads = 2, .kv_heads = 2, .head_dim = 8, .q_len = kv_len, .kv_len = kv_len});
  }
  for (const DType kv : {DType::f32, DType::f16, DType::q4_1}) {
    for (const Mask mask : {Mask::causal, Mask::none}) {
      for (const std::size_t window : {0u, 1u, 30u, 100u}) {
        for (const std::size_t sinks : {0u, 4u}) {
          const ScoreRule score{.mask = mask, .window = window, .sinks = sinks};
          made.push_back(
              {.heads = 4, .kv_heads = 2, .head_dim = 24, .q_len = 70, .kv_len = 201, .kv = kv, .score = score});
        }
      }
      made.push_back({.heads = 3,
                      .kv_heads = 1,
                      .head_dim = 20,
                      .q_len = 33,
                      .kv_len = 90,
                      .kv = kv,
                      .score = {.soft_cap = 1.5f, .mask = mask}});
    }
  }
  return made;
}

using AttentionConformance = EverySimdTarget;

TEST_P(AttentionConformance, TheTargetIsReallyInUse) { EXPECT_EQ(simd_in_use(), hwy::TargetName(GetParam())); }

TEST_P(AttentionConformance, EqualsReference) {
  const AttentionKernel& reference = *choose_attention_kernel("reference").kernel;
  for (const Shape& shape : shapes()) {
    for (const AttentionKernel* kernel : all_attention_kernels()) {
      Data data(shape), expected(shape);
      const AttentionProblem problem = data.problem();
      if (!is_softmax(*kernel) || !does(*kernel, problem)) continue;
      const AttentionProblem wanted = under_rule_of(*kernel, expected.problem());
      run(reference, {&wanted, 1});
      SCOPED_TRACE(testing::Message() << kernel->name << ", " << testing::PrintToString(shape));
      run(*kernel, {&problem, 1});
      EXPECT_LE(relative_error(data.out, expected.out), kernel->tolerance);
      EXPECT_LE(relative_error(data.normalizer, expected.normalizer), kernel->tolerance);
      for (std::size_t i = 0; i < data.stats.size(); ++i) {
        EXPECT_NEAR(data.stats[i].entropy, expected.stats[i].entropy, 2e-5);
        EXPECT_NEAR(data.stats[i].distance, expected.stats[i].distance, 1e-5 * (1 + expected.stats[i].distance));
        EXPECT_NEAR(data.stats[i].first_key, expected.stats[i].first_key, 1e-5);
      }
    }
  }
}

TEST_P(AttentionConformance, TheTileTimesTheValuesIsTheOutput) {
  for (const Shape& shape : shapes()) {
    for (const AttentionKernel* kernel : all_attention_kernels()) {
      Data data(shape);
      const AttentionProblem p = data.problem();
      if (!does(*kernel, p)) continue;
      run(*kernel, {&p, 1});
      std::vector<float> rebuilt(data.out.size()), tile(shape.q_len * shape.kv_len);
      for (std::size_t h = 0; h < shape.heads; ++h) {
        const std::size_t kv_head = h / (shape.heads / shape.kv_heads), stride = shape.kv_heads * shape.head_dim;
        std::vector<float> log_sums(shape.q_len);
        for (std::size_t i = 0; i < shape.q_len; ++i) log_sums[i] = p.normalizer(i, h);
        const PatternFactors factors{
            {&p.q(0, h, 0), {shape.q_len, shape.head_dim}, {shape.heads * shape.head_dim, 1}},
            {data.k.data() + kv_head * shape.head_dim, {shape.kv_len, shape.head_dim}, {stride, 1}},
            log_sums,
            p.score,
            kernel->rule(options_of(*kernel)),
            p.q_start};
        pattern_tile(factors, 0, 0, {tile.data(), {shape.q_len, shape.kv_len}});
        for (std::size_t i = 0; i < shape.q_len; ++i) {
          for (std::size_t d = 0; d < shape.head_dim; ++d) {
            double sum = 0.0;
            for (std::size_t j = 0; j < shape.kv_len; ++j) {
              sum +=
                  static_cast<double>(tile[i * shape.kv_len + j]) * data.v[j * stride + kv_head * shape.head_dim + d];
            }
            rebuilt[(i * shape.heads + h) * shape.head_dim + d] = static_cast<float>(sum);
          }
        }
      }
      EXPECT_LE(relative_error(rebuilt, data.out), is_softmax(*kernel) ? 1e-5 : kernel->tolerance) << kernel->name << ", " << testing::PrintToString(shape);
    }
  }
}

TEST_P(AttentionConformance, ARowWithoutVisibleKeysIsZero) {
  // Queries far beyond the keys: nothing is inside the window.
  const Shape shape{.heads = 2, .kv_heads = 1, .head_dim = 16, .q_len = 5, .kv_len = 40, .score = {.window = 4}};
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    Data data(shape);
    AttentionProblem problem = data.problem();
    problem.q_start = 100;
    if (!does(*kernel, problem)) continue;
    run(*kernel, {&problem, 1});
    for (const float value : data.out) EXPECT_EQ(value, 0.0f) << kernel->name;
    for (const float value : data.normalizer) EXPECT_EQ(value, -std::numeric_limits<float>::infinity()) << kernel->name;
    for (const RowStats& stats : data.stats) EXPECT_EQ(stats.entropy, 0.0f) << kernel->name;
  }
}

TEST_P(AttentionConformance, SplitsThreadsAndCompanyDoNotChangeABit) {
  const Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 20, .q_len = 150, .kv_len = 150, .score = {.window = 70}};
  const Shape other{.heads = 4, .kv_heads = 4, .head_dim = 48, .q_len = 33, .kv_len = 90};
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    SCOPED_TRACE(std::string(kernel->name));
    Data whole(shape), split(shape), batched(shape), company(other);
    AttentionProblem problem = whole.problem();
    if (!does(*kernel, problem)) continue;
    run(*kernel, {&problem, 1}, 1);
    for (std::size_t first = 0, count = 1; first < shape.q_len; first += count, count = count % 40 + 3) {
      count = std::min(count, shape.q_len - first);
      AttentionProblem piece = split.problem();
      piece.q = piece.q.slice(first, count);
      piece.out = piece.out.slice(first, count);
      piece.normalizer = piece.normalizer.slice(first, count);
      piece.stats = piece.stats.slice(first, count);
      piece.k.kv_len = piece.v.kv_len = first + count;  // later keys are not there yet
      piece.q_start = first;
      run(*kernel, {&piece, 1});
    }
    const AttentionProblem both[] = {company.problem(), batched.problem()};
    run(*kernel, both, 3);
    EXPECT_EQ(batched.out, whole.out);
    if (!kernel->split_invariant) {
      EXPECT_LE(relative_error(split.out, whole.out), kernel->tolerance);
      continue;
    }
    EXPECT_EQ(split.out, whole.out);
    EXPECT_EQ(split.normalizer, whole.normalizer);
    EXPECT_EQ(std::memcmp(split.stats.data(), whole.stats.data(), whole.stats.size() * sizeof(RowStats)), 0);
  }
}

TEST_P(AttentionConformance, OneQueryAmongManyKeysHasTheSameBits) {
  const Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 20, .q_len = 30, .kv_len = 1200};
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (!kernel->split_invariant) continue;
    SCOPED_TRACE(std::string(kernel->name));
    Data whole(shape), single(shape);
    const AttentionProblem problem = whole.problem();
    if (!does(*kernel, problem)) continue;
    run(*kernel, {&problem, 1}, 1);
    for (std::size_t row = 0; row < shape.q_len; ++row) {
      AttentionProblem piece = single.problem();
      piece.q = piece.q.slice(row, 1);
      piece.out = piece.out.slice(row, 1);
      piece.normalizer = piece.normalizer.slice(row, 1);
      piece.stats = piece.stats.slice(row, 1);
      piece.q_start += row;
      piece.k.kv_len = piece.v.kv_len = piece.q_start + 1;
      run(*kernel, {&piece, 1}, 3);
    }
    EXPECT_EQ(single.out, whole.out);
    EXPECT_EQ(single.normalizer, whole.normalizer);
  }
}

/// Quantised caches take one way through the kernel, so that their bits do not depend on splits either.
TEST_P(AttentionConformance, QuantisedCachesHaveTheSameBitsForAnySplit) {
  for (const DType kv : {DType::q8_0, DType::q4_1}) {
    const Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 20, .q_len = 30, .kv_len = 600, .kv = kv};
    std::size_t readers = 0;
    for (const AttentionKernel* kernel : all_attention_kernels()) {
      SCOPED_TRACE(std::string(kernel->name));
      Data whole(shape), split(shape);
      const AttentionProblem problem = whole.problem();
      if (!kernel->split_invariant || !does(*kernel, problem)) continue;
      ++readers;
      run(*kernel, {&problem, 1}, 1);
      for (std::size_t first = 0, count = 1; first < shape.q_len; first += count, count = count % 7 + 2) {
        count = std::min(count, shape.q_len - first);
        AttentionProblem piece = split.problem();
        piece.q = piece.q.slice(first, count);
        piece.out = piece.out.slice(first, count);
        piece.normalizer = piece.normalizer.slice(first, count);
        piece.stats = piece.stats.slice(first, count);
        piece.q_start += first;
        piece.k.kv_len = piece.v.kv_len = piece.q_start + count;
        run(*kernel, {&piece, 1}, 3);
      }
      EXPECT_EQ(split.out, whole.out);
      EXPECT_EQ(split.normalizer, whole.normalizer);
    }
    EXPECT_GE(readers, 4u);  // reference, flash and what is built on it
  }
}

TEST_P(AttentionConformance, LargeScoresDoNotOverflow) {
  const Shape shape{.heads = 2, .kv_heads = 1, .head_dim = 16, .q_len = 20, .kv_len = 80};
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (!is_softmax(*kernel)) continue;
    Data data(shape), expected(shape);
    for (Data* d : {&data, &expected}) {
      for (float& number : d->q) number *= 1000.0f;
    }
    const AttentionProblem problem = data.problem(), wanted = under_rule_of(*kernel, expected.problem());
    if (!does(*kernel, problem)) continue;
    run(*kernel, {&problem, 1});
    run(*choose_attention_kernel("reference").kernel, {&wanted, 1});
    EXPECT_LE(relative_error(data.out, expected.out), 1e-3) << kernel->name;  // the scores' own rounding, amplified
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(AttentionConformance);

/// Random features estimate the softmax: sixteen times as many, about a quarter of the error. Vectors are short, for the
/// variance grows with exp(|q + k|^2).
TEST(Performer, ComesNearerToTheSoftmaxWithMoreFeatures) {
  const Shape shape{.heads = 2, .kv_heads = 1, .head_dim = 16, .q_len = 40, .kv_len = 40};
  const auto short_vectors = [&] {
    Data data(shape);
    for (std::vector<float>* numbers : {&data.q, &data.k}) {
      for (float& number : *numbers) number *= 0.5f;
    }
    return data;
  };
  Data expected = short_vectors();
  const AttentionProblem wanted = expected.problem();
  run(*choose_attention_kernel("reference").kernel, {&wanted, 1});
  std::vector<double> errors;
  for (const char* spelled : {"performer:features=16", "performer:features=256", "performer:features=4096"}) {
    const KernelChoice choice = choose_attention_kernel(spelled);
    Data data = short_vectors();
    const AttentionProblem problem = data.problem();
    ThreadPool pool(2, initialize_worker);
    Tensor scratch(DType::f32, {choice.kernel->scratch_bytes({&problem, 1}, choice.options, 2) / sizeof(float) + 1});
    KernelReport report;
    choice.kernel->run({{&problem, 1}, choice.options, pool, scratch.bytes(), report});
    errors.push_back(relative_error(data.out, expected.out));
  }
  EXPECT_LT(errors[1], errors[0] / 2) << errors[0];
  EXPECT_LT(errors[2], errors[1] / 2) << errors[1];
  EXPECT_LT(errors[2], 0.05);
}

TEST(AttentionKernels, SayWhyTheyDoNotReadAQuantisedCache) {
  Data data({.heads = 2, .kv_heads = 1, .head_dim = 8, .q_len = 2, .kv_len = 4, .kv = DType::q8_0});
  const AttentionProblem problem = data.problem();
  for (const char* spelled : {"linear", "performer:features=8", "gemm", "online_softmax"}) {
    const KernelChoice choice = choose_attention_kernel(spelled);
    EXPECT_EQ(choice.kernel->refuses(problem, choice.options), "a quantised cache, which it does not read (it reads --kv f32 and f16)") << spelled;
  }
}

TEST(CheckKernel, ReportsWhatItSaw) {
  Data data({.heads = 4, .kv_heads = 2, .head_dim = 24, .q_len = 20, .kv_len = 90});
  const AttentionProblem problem = data.problem();
  ThreadPool pool(2, initialize_worker);
  for (const auto& [spelled, fails] :
       {std::pair{"check:flash,reference", false}, {"check:flash,online_softmax,bound=1e-12", true}}) {
    const KernelChoice choice = choose_attention_kernel(spelled);
    Tensor scratch(DType::f32, {choice.kernel->scratch_bytes({&problem, 1}, choice.options, 2) / sizeof(float) + 1});
    KernelReport report;
    choice.kernel->run({{&problem, 1}, choice.options, pool, scratch.bytes(), report});
    EXPECT_EQ(!report.failure.empty(), fails) << report.failure;
    EXPECT_GT(report.largest_relative_difference, 0.0);
    EXPECT_LT(report.largest_relative_difference, 1e-5);
    EXPECT_GE(largest_checked_difference(), report.largest_relative_difference);
  }
}

TEST(CheckKernel, RefusesBadOptions) {
  for (const char* spelled :
       {"check", "check:flash", "check:flash,nothing", "check:flash,check", "check:flash,reference,bound=x",
        "check:flash,reference,bound=-1", "check:flash,reference,colour=red", "flash:window=3"}) {
    EXPECT_THROW(choose_attention_kernel(spelled), Error) << spelled;
  }
}

}  // namespace
}  // namespace vitrine
