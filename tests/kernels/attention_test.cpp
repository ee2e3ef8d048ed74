// Every attention kernel of the table: what holds besides the numbers of attention_table_test.cpp.
#include <algorithm>

#include "core/base/error.h"
#include "kernels/pattern/pattern.h"
#include "tests/kernels/attention_problem.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

using AttentionConformance = EverySimdTarget;

TEST_P(AttentionConformance, TheTargetIsReallyInUse) { EXPECT_EQ(simd_in_use(), hwy::TargetName(GetParam())); }

TEST_P(AttentionConformance, ARowWithoutVisibleKeysIsZero) {
  // Queries far beyond the keys: nothing is inside the window.
  const Shape shape{.heads = 2, .kv_heads = 1, .head_dim = 16, .q_len = 5, .kv_len = 40, .score = {.window = 4}, .behind = 65};
  std::size_t done = 0;
  for (const Choice& choice : all_choices()) {
    SCOPED_TRACE(testing::PrintToString(choice));
    Data data(shape);
    const AttentionProblem problem = data.problem(choice);
    if (!does(choice, problem)) continue;
    ++done;
    run(choice, {&problem, 1});
    for (const float value : data.out) EXPECT_EQ(value, 0.0f);
    for (const float value : data.normalizer) EXPECT_EQ(value, -std::numeric_limits<float>::infinity());
    for (const RowStats& stats : data.stats) EXPECT_TRUE(stats.entropy == 0.0f && stats.distance == 0.0f && stats.first_key == 0.0f);
  }
  EXPECT_GT(done, all_choices().size() / 2);
}

/// Without and with what a score may hold besides the product, but for terms that meet the query: such models go in one piece.
const Terms no_terms{}, biases{.distances = 61, .first = -40, .slope = true, .allowed = true};

void splits_change_nothing(const Terms& terms) {
  const Shape other{.heads = 4, .kv_heads = 4, .head_dim = 48, .q_len = 33, .kv_len = 90};
  for (const Choice& choice : all_choices()) {
    SCOPED_TRACE(testing::PrintToString(choice));
    Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 20, .q_len = 150, .kv_len = 150, .score = {.window = 70}, .terms = terms};
    if (Data data(shape); !does(choice, data.problem(choice))) shape.score.window = 0;
    Data whole(shape), split(shape), batched(shape), company(other);
    const AttentionProblem problem = whole.problem(choice);
    if (!does(choice, problem)) continue;  // needs another CPU or --simd
    run(choice, {&problem, 1}, 1);
    for (std::size_t first = 0, count = 1; first < shape.q_len; first += count, count = count % 40 + 3) {
      count = std::min(count, shape.q_len - first);
      const AttentionProblem piece = piece_of(split.problem(choice), first, count);
      run(choice, {&piece, 1});
    }
    const AttentionProblem both[] = {company.problem(choice), batched.problem(choice)};
    run(choice, both, 3);
    EXPECT_EQ(batched.out, whole.out);
    if (!choice.kernel->split_invariant) {
      EXPECT_LE(relative_error(split.out, whole.out), choice.kernel->tolerance);
      continue;
    }
    EXPECT_EQ(split.out, whole.out);
    EXPECT_EQ(split.normalizer, whole.normalizer);
    if (choice.rule().kind == PatternKind::softmax_top_k) {
      EXPECT_EQ(split.threshold, whole.threshold);
    }
    EXPECT_EQ(std::memcmp(split.stats.data(), whole.stats.data(), whole.stats.size() * sizeof(RowStats)), 0);
  }
}

TEST_P(AttentionConformance, SplitsThreadsAndCompanyDoNotChangeABit) {
  splits_change_nothing(no_terms);
  splits_change_nothing(biases);
}

void single_queries_change_nothing(const Terms& terms) {
  const Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 20, .q_len = 30, .kv_len = 1200, .terms = terms};
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (!kernel->split_invariant) continue;
    const Choice choice = chosen(std::string(kernel->name) + ":" + std::string(kernel->example));
    SCOPED_TRACE(testing::PrintToString(choice));
    Data whole(shape), single(shape);
    const AttentionProblem problem = whole.problem(choice);
    if (!does(choice, problem)) continue;
    run(choice, {&problem, 1}, 1);
    for (std::size_t row = 0; row < shape.q_len; ++row) {
      const AttentionProblem piece = piece_of(single.problem(choice), row, 1);
      run(choice, {&piece, 1}, 3);
    }
    EXPECT_EQ(single.out, whole.out);
    EXPECT_EQ(single.normalizer, whole.normalizer);
  }
}

TEST_P(AttentionConformance, OneQueryAmongManyKeysHasTheSameBits) {
  single_queries_change_nothing(no_terms);
  single_queries_change_nothing(biases);
}

/// Quantised caches whose heads end inside a block take one way through a kernel, so that their bits do not depend on splits
/// either; others, as f16, promise that only for pieces of several queries.
TEST_P(AttentionConformance, QuantisedCachesHaveTheSameBitsForAnySplit) {
  for (const DType kv : {DType::q8_0, DType::q4_1}) {
    const Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 20, .q_len = 30, .kv_len = 600, .kv = kv};
    std::size_t readers = 0;
    for (const Choice& choice : all_choices()) {
      SCOPED_TRACE(testing::PrintToString(choice));
      Data whole(shape), split(shape);
      const AttentionProblem problem = whole.problem(choice);
      if (!choice.kernel->split_invariant || !does(choice, problem)) continue;
      ++readers;
      run(choice, {&problem, 1}, 1);
      for (std::size_t first = 0, count = 1; first < shape.q_len; first += count, count = count % 7 + 2) {
        count = std::min(count, shape.q_len - first);
        const AttentionProblem piece = piece_of(split.problem(choice), first, count);
        run(choice, {&piece, 1}, 3);
      }
      EXPECT_EQ(split.out, whole.out);
      EXPECT_EQ(split.normalizer, whole.normalizer);
    }
    EXPECT_GE(readers, 4u);  // reference, flash and what is built on it
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(AttentionConformance);

TEST(Attention, KernelsSayWhyTheyDoNotReadAQuantisedCache) {
  for (const char* spelled : {"linear", "performer:features=8", "gemm", "online_softmax"}) {
    const Choice choice = chosen(spelled);
    Data data({.heads = 2, .kv_heads = 1, .head_dim = 8, .q_len = 2, .kv_len = 4, .kv = DType::q8_0});
    EXPECT_EQ(choice.kernel->refuses(data.problem(choice), choice.options), "a cache of f32 or f16 (--kv f32, --kv f16)") << spelled;
  }
}

/// What a kernel does not know it refuses, and what fits to no problem nobody takes.
TEST(Attention, KernelsSayWhyTheyDoNotKnowAScore) {
  const Shape plain{.heads = 2, .kv_heads = 1, .head_dim = 8, .q_len = 2, .kv_len = 4};
  Shape biased = plain, met = plain;
  biased.terms = biases;
  met.terms = {.positions = 9};
  for (const char* spelled : {"linear", "performer:features=8"}) {
    const Choice choice = chosen(spelled);
    Data data(biased);
    EXPECT_EQ(choice.kernel->refuses(data.problem(choice), choice.options), "scores without a bias by distance") << spelled;
  }
  for (const char* spelled : {"top_k:k=2", "linear", "flash"}) {  // flash knows them for heads with keys of their own
    const Choice choice = chosen(spelled);
    Data data(met);
    EXPECT_NE(choice.kernel->refuses(data.problem(choice), choice.options), "") << spelled;
  }
  for (const char* spelled : {"reference", "flash", "gemm", "online_softmax", "top_k:k=2", "sliding_window:window=3"}) {
    const Choice choice = chosen(spelled);
    Data data(biased);
    const AttentionProblem good = data.problem(choice);
    EXPECT_EQ(choice.kernel->refuses(good, choice.options), "") << spelled;
    AttentionProblem bad = good;
    bad.score.allowed.rows = 1;
    EXPECT_NE(choice.kernel->refuses(bad, choice.options), "") << spelled;
    bad = good;
    bad.score.by_distance.slope = bad.score.by_distance.slope.first(1);
    EXPECT_NE(choice.kernel->refuses(bad, choice.options), "") << spelled;
  }
}

/// Who multiplies queries and keys says so before a model with other scores, and the other way round.
TEST(Attention, AdditiveScoresAndProductsAreNotTakenForOneAnother) {
  for (const Choice& choice : all_choices()) {
    Data data({.heads = 2, .kv_heads = 1, .head_dim = 16, .q_len = 3, .kv_len = 9});
    AttentionProblem problem = data.problem(choice);
    EXPECT_EQ(choice.kernel->refuses(problem, choice.options), "") << choice.spelled;
    problem.score.additive = problem.score.additive.empty() ? std::span<const float>(data.additive) : std::span<const float>();
    EXPECT_NE(choice.kernel->refuses(problem, choice.options), "") << choice.spelled;
  }
}

TEST(Attention, ANarrowPatternThatHidesNothingIsTheWholePattern) {
  const Shape shape{.heads = 6, .kv_heads = 2, .head_dim = 24, .q_len = 90, .kv_len = 130};
  const Choice flash = chosen("flash");
  Data expected(shape);
  const AttentionProblem wanted = expected.problem(flash);
  run(flash, {&wanted, 1});
  for (const char* spelled : {"sliding_window:window=130", "block_sparse:pattern=banded,block=16,window=9", "block_sparse:pattern=banded,window=1,stride=1",
                              "block_sparse:pattern=bigbird,block=16,random=16", "block_sparse:pattern=banded,window=1,dense_every=1"}) {
    const Choice choice = chosen(spelled);
    Data data(shape);
    const AttentionProblem problem = data.problem(choice);
    run(choice, {&problem, 1});
    EXPECT_EQ(data.out, expected.out) << spelled;
    EXPECT_EQ(data.normalizer, expected.normalizer) << spelled;
  }
  const Choice top_k = chosen("top_k:k=130");
  Data data(shape);
  const AttentionProblem problem = data.problem(top_k);
  run(top_k, {&problem, 1});
  EXPECT_LE(relative_error(data.out, expected.out), 1e-6);
  for (const float threshold : data.threshold) EXPECT_EQ(threshold, -std::numeric_limits<float>::infinity());
}

/// Scores that are whole numbers, so that ties are ties: keys are their own positions' values.
TEST(TopK, TiesOfTheLastOneAllCount) {
  const std::vector<float> scores{3, 1, 2, 2, 5, 2, 0};
  const struct {
    const char* spelled;
    std::vector<float> kept;
    float threshold;
  } cases[] = {{"top_k:k=1", {5}, 4.0f}, {"top_k:k=2", {3, 5}, 2.5f}, {"top_k:k=3", {3, 2, 2, 5, 2}, 1.5f}, {"top_k:k=5", {3, 2, 2, 5, 2}, 1.5f},
               {"top_k:k=6", {3, 1, 2, 2, 5, 2}, 0.5f}, {"top_k:k=7", scores, -INFINITY}};
  for (const auto& expected : cases) {
    const Choice choice = chosen(expected.spelled);
    Data data({.heads = 1, .kv_heads = 1, .head_dim = 1, .q_len = 1, .kv_len = scores.size()});
    data.q = {1.0f};
    data.k = scores;
    data.v.assign(scores.size(), 1.0f);
    const AttentionProblem problem = data.problem(choice);
    run(choice, {&problem, 1});
    double sum = 0.0;
    for (const float score : expected.kept) sum += std::exp(static_cast<double>(score));
    EXPECT_NEAR(data.normalizer[0], std::log(sum), 1e-6) << expected.spelled;
    EXPECT_EQ(data.threshold[0], expected.threshold) << expected.spelled;
  }
}

/// Work grows with what is seen: blocks that no query sees hold NaN, which any product with them would spread.
TEST(BlockSparse, BlocksOutsideThePatternAreNotRead) {
  for (const Mask mask : {Mask::causal, Mask::none}) {
    for (const char* spelled : {"block_sparse:pattern=banded,block=16,window=2,stride=5", "block_sparse:pattern=bigbird,block=16,global=1,random=3"}) {
      SCOPED_TRACE(spelled);
      const Choice choice = chosen(spelled);
      Data data({.heads = 6, .kv_heads = 2, .head_dim = 24, .q_len = 16, .kv_len = mask == Mask::causal ? 640u : 900u, .score = {.mask = mask}});
      AttentionProblem problem = data.problem(choice);
      problem.q_start = 624;  // one block of queries
      const KeyBlocks blocks(choice.rule(), mask, problem.q_start / 16, problem.k.kv_len);
      std::size_t hidden = 0;
      for (std::size_t i = 0; i < data.k.size(); ++i) {
        if (blocks.sees(i / (2 * 24) / 16)) continue;
        data.k[i] = data.v[i] = std::numeric_limits<float>::quiet_NaN();
        ++hidden;
      }
      EXPECT_GT(hidden, data.k.size() / 2);
      run(choice, {&problem, 1});
      for (const float value : data.out) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

/// A case by hand: blocks of two, seen from block 5 of 8.
TEST(BlockSparse, PatternsAreWhatTheirDefinitionsSay) {
  const auto seen_from = [](const char* spelled, Mask mask, std::size_t own) {
    const KeyBlocks blocks(chosen(spelled, 0).rule(), mask, own, 16);
    std::vector<std::size_t> seen;
    for (KeyBlocks::Run run = blocks.next(0); run.begin < run.end; run = blocks.next(run.end)) {
      for (std::size_t block = run.begin; block < run.end; ++block) seen.push_back(block);
    }
    return seen;
  };
  using Blocks = std::vector<std::size_t>;
  EXPECT_EQ(seen_from("block_sparse:pattern=banded,block=2,window=2", Mask::causal, 5), (Blocks{4, 5}));
  EXPECT_EQ(seen_from("block_sparse:pattern=banded,block=2,window=2", Mask::none, 5), (Blocks{4, 5, 6}));
  EXPECT_EQ(seen_from("block_sparse:pattern=banded,block=2,window=1,stride=2", Mask::none, 5), (Blocks{1, 3, 5, 7}));
  EXPECT_EQ(seen_from("block_sparse:pattern=bigbird,block=2,window=1,global=2,random=6", Mask::causal, 5), (Blocks{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(seen_from("block_sparse:pattern=bigbird,block=2,window=1,global=2,random=1", Mask::none, 1), (Blocks{0, 1, 2, 3, 4, 5, 6, 7}));
  std::vector<std::size_t> drawn(4);  // 2, 3, 4 or 5: which one depends on the seed, and each comes as often as any other
  for (std::size_t seed = 1; seed <= 400; ++seed) {
    const Blocks seen = seen_from(("block_sparse:pattern=bigbird,block=2,window=1,global=2,random=1,seed=" + std::to_string(seed)).c_str(), Mask::causal, 6);
    ASSERT_EQ(seen.size(), 4u);  // 0, 1, the drawn one, 6
    ASSERT_TRUE(seen[0] == 0 && seen[1] == 1 && seen[2] >= 2 && seen[2] <= 5 && seen[3] == 6);
    ++drawn[seen[2] - 2];
  }
  for (const std::size_t count : drawn) EXPECT_NEAR(static_cast<double>(count), 100.0, 35.0);  // four deviations
}

TEST(BlockSparse, RefusesBadOptions) {
  for (const char* spelled : {"block_sparse", "block_sparse:pattern=round", "block_sparse:pattern=banded", "block_sparse:pattern=banded,window=0",
                              "block_sparse:pattern=banded,window=2,random=1", "block_sparse:pattern=bigbird,random=17",
                              "block_sparse:pattern=bigbird,stride=2", "block_sparse:window=2", "top_k", "top_k:k=0", "top_k:k=-1", "additive:v=1"}) {
    EXPECT_THROW(choose_attention_kernel(spelled), Error) << spelled;
  }
}

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
  const AttentionProblem wanted = expected.problem(chosen("reference"));
  run(chosen("reference"), {&wanted, 1});
  std::vector<double> errors;
  for (const char* spelled : {"performer:features=16", "performer:features=256", "performer:features=4096"}) {
    Data data = short_vectors();
    const AttentionProblem problem = data.problem(chosen(spelled));
    run(chosen(spelled), {&problem, 1});
    errors.push_back(relative_error(data.out, expected.out));
  }
  EXPECT_LT(errors[1], errors[0] / 2) << errors[0];
  EXPECT_LT(errors[2], errors[1] / 2) << errors[1];
  EXPECT_LT(errors[2], 0.05);
}

TEST(CheckKernel, ReportsWhatItSaw) {
  Data data({.heads = 4, .kv_heads = 2, .head_dim = 24, .q_len = 20, .kv_len = 90});
  const AttentionProblem problem = data.problem(chosen("flash"));
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
