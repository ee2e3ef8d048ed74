#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "core/base/error.h"
#include "core/model/forward.h"
#include "kernels/kernels.h"

// Exact precision promises the same bits for any number of threads, any split of a text and any company in a batch.

namespace vitrine {
namespace {

const std::vector<TokenId> text{3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8, 70, 1, 3};

struct Harness {
  explicit Harness(std::size_t threads, std::string_view kernel_name)
      : pool(threads, initialize_worker), ops(make_cpu_ops(Precision::exact, pool)),
        kernel(choose_attention_kernel(kernel_name)),
        model(load_model(std::filesystem::path(VITRINE_TEST_DATA) / "golden" / "llama" / "model.gguf")) {}

  /// Logits of the rows of sequence 0, in order, over one or more calls.
  void run(std::span<const Segment> segments, std::vector<float>& logits) {
    ForwardSinks sinks;
    sinks.logit_rows = LogitRows::all;
    sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> values) {
      for (std::size_t r = 0; r < rows.size(); ++r) {
        if (rows[r].sequence == 0) logits.insert(logits.end(), &values(r, 0), &values(r, 0) + values.extent(1));
      }
    };
    const TapPlan taps;
    Run progress;
    forward({model, *ops, kernel, workspace, progress, taps}, segments, sinks);
  }

  std::vector<float> whole() {
    KvCache cache(model.spec, DType::f32);
    const Segment segment{.sequence = 0, .ids = text, .types = {}, .cache = &cache};
    std::vector<float> logits;
    run({&segment, 1}, logits);
    return logits;
  }

  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  KernelChoice kernel;
  Model model;
  Workspace workspace;
};

class Invariance : public testing::TestWithParam<const char*> {};

TEST_P(Invariance, ThreadsDoNotChangeABit) {
  const std::vector<float> one = Harness(1, GetParam()).whole();
  ASSERT_EQ(one.size() % text.size(), 0u);
  EXPECT_EQ(Harness(2, GetParam()).whole(), one);
  EXPECT_EQ(Harness(3, GetParam()).whole(), one);
}

TEST_P(Invariance, ChunksAndSingleTokensDoNotChangeABit) {
  Harness harness(2, GetParam());
  const std::vector<float> whole = harness.whole();
  for (const std::size_t chunk : {1u, 4u, 7u}) {
    KvCache cache(harness.model.spec, DType::f32);
    std::vector<float> logits;
    for (std::size_t begin = 0; begin < text.size(); begin += chunk) {
      const auto piece = std::span(text).subspan(begin, std::min(chunk, text.size() - begin));
      const Segment segment{.sequence = 0, .ids = piece, .types = {}, .cache = &cache};
      harness.run({&segment, 1}, logits);
    }
    EXPECT_EQ(logits, whole) << "chunks of " << chunk;
  }
}

TEST_P(Invariance, ABatchDoesNotChangeABit) {
  Harness harness(2, GetParam());
  const std::vector<float> alone = harness.whole();
  KvCache first(harness.model.spec, DType::f32), own(harness.model.spec, DType::f32), last(harness.model.spec, DType::f32);
  const std::vector<TokenId> other{9, 9, 1, 22, 64}, longer(40, 11);
  const Segment segments[] = {{.sequence = 1, .ids = other, .types = {}, .cache = &first},
                              {.sequence = 0, .ids = text, .types = {}, .cache = &own},
                              {.sequence = 2, .ids = longer, .types = {}, .cache = &last}};
  std::vector<float> logits;
  harness.run(segments, logits);
  EXPECT_EQ(logits, alone);
}

/// Rows that nobody asks for are not carried through the last block; their keys and values are there for what follows.
TEST_P(Invariance, AskingForFewerRowsDoesNotChangeTheOthers) {
  Harness harness(2, GetParam());
  const std::vector<float> whole = harness.whole();
  const std::size_t width = whole.size() / text.size();
  const std::vector<TokenId> other{9, 9, 1, 22, 64};
  for (const std::size_t first : {0u, 1u, 6u, 9u, 14u, 15u}) {  // of sequence 0; 15: none of its first piece
    KvCache own(harness.model.spec, DType::f32), company(harness.model.spec, DType::f32);
    std::map<std::uint32_t, std::vector<float>> logits;
    const auto run = [&](std::span<const Segment> segments, bool all) {
      ForwardSinks sinks;
      sinks.logit_rows = LogitRows::wanted;
      sinks.wants_logits = [&](const RowRef& row) { return all || (row.sequence == 0 && row.position >= first && row.position % 2 == 0); };
      sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> values) {
        for (std::size_t r = 0; r < rows.size(); ++r) logits[rows[r].position].assign(&values(r, 0), &values(r, 0) + width);
      };
      const TapPlan taps;
      vitrine::Run progress;
      forward({harness.model, *harness.ops, harness.kernel, harness.workspace, progress, taps}, segments, sinks);
    };
    const Segment segments[] = {{.sequence = 1, .ids = other, .types = {}, .cache = &company},
                                {.sequence = 0, .ids = std::span(text).first(10), .types = {}, .cache = &own}};
    run(segments, false);
    for (const auto& [position, row] : logits) EXPECT_GE(position, first);
    const Segment rest{.sequence = 0, .ids = std::span(text).subspan(10), .types = {}, .cache = &own};
    run({&rest, 1}, true);
    EXPECT_GE(logits.size(), 5u);
    for (const auto& [position, row] : logits) {
      EXPECT_TRUE(std::equal(row.begin(), row.end(), whole.begin() + static_cast<std::ptrdiff_t>(position * width))) << first << ", " << position;
    }
  }
}

/// The same promises over quantised caches, whose rows are rounded one by one.
class QuantisedCaches : public testing::TestWithParam<const char*> {
 protected:
  KvFormat format() const { return parse_kv_format(GetParam()); }
  std::vector<float> whole(std::size_t threads, std::string_view kernel = "flash") const {
    Harness harness(threads, kernel);
    KvCache cache(harness.model.spec, format());
    const Segment segment{.sequence = 0, .ids = text, .types = {}, .cache = &cache};
    std::vector<float> logits;
    harness.run({&segment, 1}, logits);
    return logits;
  }
};

TEST_P(QuantisedCaches, ThreadsChunksCompanyAndForgettingDoNotChangeABit) {
  const std::vector<float> alone = whole(1);
  EXPECT_EQ(whole(3), alone);
  EXPECT_NE(alone, Harness(1, "flash").whole());
  Harness harness(2, "flash");
  for (const std::size_t chunk : {1u, 4u}) {
    KvCache cache(harness.model.spec, format());
    std::vector<float> logits;
    for (std::size_t begin = 0; begin < text.size(); begin += chunk) {
      const std::size_t count = std::min(chunk, text.size() - begin);
      const Segment segment{.sequence = 0, .ids = std::span(text).subspan(begin, count), .types = {}, .cache = &cache};
      harness.run({&segment, 1}, logits);
      if (begin != 8) continue;
      const std::vector<TokenId> wrong{60, 2, 2, 9};  // is forgotten again
      const Segment detour{.sequence = 1, .ids = wrong, .types = {}, .cache = &cache};
      harness.run({&detour, 1}, logits);
      cache.truncate(begin + count);
    }
    EXPECT_EQ(logits, alone) << "chunks of " << chunk;
  }
}

TEST_P(QuantisedCaches, ASharedBeginningIsCopiedBitByBit) {
  Harness harness(2, "flash");
  KvCache first(harness.model.spec, format()), second(harness.model.spec, format());
  std::vector<TokenId> other(text.begin(), text.begin() + 9);
  other.insert(other.end(), {7, 7, 30});
  const Segment segments[] = {{.sequence = 1, .ids = other, .types = {}, .cache = &first},
                              {.sequence = 0, .ids = std::span(text).subspan(9), .types = {}, .cache = &second, .shared_from = &first, .shared = 9}};
  std::vector<float> logits;
  harness.run(segments, logits);
  const std::vector<float> alone = whole(2);
  const std::size_t vocabulary = alone.size() / text.size();
  EXPECT_EQ(logits, std::vector<float>(alone.begin() + static_cast<std::ptrdiff_t>(9 * vocabulary), alone.end()));
}

TEST_P(QuantisedCaches, KernelsAgree) {
  const std::vector<float> flash = whole(2), reference = whole(2, "reference");
  for (std::size_t i = 0; i < flash.size(); ++i) EXPECT_NEAR(flash[i], reference[i], 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantisedCaches, testing::Values("int8", "int8:hadamard", "int4", "int4:hadamard"));

TEST(KvFormats, TurningKeepsTheLogitsWhereNothingIsRounded) {
  Harness harness(2, "flash");
  const std::vector<float> expected = harness.whole();
  KvCache cache(harness.model.spec, {DType::f32, true});
  const Segment segment{.sequence = 0, .ids = text, .types = {}, .cache = &cache};
  std::vector<float> logits;
  harness.run({&segment, 1}, logits);
  ASSERT_EQ(logits.size(), expected.size());
  for (std::size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-5);
}

TEST(KvFormats, NamesComeBackAndOthersAreRefused) {
  for (const char* name : {"F32", "F16", "INT8", "INT8:HADAMARD", "INT4", "INT4:HADAMARD"}) EXPECT_EQ(kv_format_name(parse_kv_format(name)), name);
  EXPECT_EQ(parse_kv_format("int4:hadamard"), KvFormat(DType::q4_1, true));
  for (const char* name : {"", "q8_0", "f16:hadamard", "int4:", "int4:rotated", "int4:hadamard "}) EXPECT_THROW(parse_kv_format(name), Error) << name;
}

TEST(KvFormats, BytesOfATokenCountWholeBlocks) {
  ModelSpec spec;
  spec.blocks.resize(2);
  for (BlockSpec& block : spec.blocks) {
    block.attention.kv_heads = 3;
    block.attention.head_dim = 80;
  }
  EXPECT_EQ(kv_bytes_per_token(spec, DType::f32), 2u * 2 * 3 * 320);
  EXPECT_EQ(kv_bytes_per_token(spec, DType::f16), 2u * 2 * 3 * 160);
  EXPECT_EQ(kv_bytes_per_token(spec, DType::q8_0), 2u * 2 * 3 * 3 * 34);  // 80 numbers are three blocks
  EXPECT_EQ(kv_bytes_per_token(spec, {DType::q4_1, true}), 2u * 2 * 3 * 3 * 20);
  EXPECT_EQ(kv_bytes_per_token(spec, DType::f16, AttentionRole::cross), 0u);
  spec.blocks[1].cross = spec.blocks[1].attention;
  EXPECT_EQ(kv_bytes_per_token(spec, DType::f16, AttentionRole::cross), 2u * 3 * 160);
  spec.blocks[1].attention.head_dim = 33;
  EXPECT_THROW(require_kv_format(spec, {DType::q4_1, true}), Error);
  EXPECT_NO_THROW(require_kv_format(spec, DType::q4_1));
  spec.blocks[0].attention.mask = Mask::none;
  EXPECT_EQ(kv_bytes_per_token(spec, DType::f32), 0u);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Invariance, testing::Values("reference", "online_softmax", "flash"));

/// No library below starts threads of its own.
TEST(Forward, HasNoMoreThreadsThanThePool) {
  const auto running = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
  };
  std::thread([] {}).join();             // tsan starts a thread of its own with the first one
  const std::size_t before = running();
  for (const std::size_t threads : {1u, 2u, 3u}) {
    Harness harness(threads, "auto");
    harness.whole();
    EXPECT_EQ(running(), before + threads - 1);
  }
}

TEST(Forward, RefusesWhatTheModelCannotHold) {
  Harness harness(1, "reference");
  std::vector<float> logits;
  const std::vector<TokenId> too_long(harness.model.spec.context + 1, 1), unknown{1, 71};
  for (const auto& ids : {too_long, unknown}) {
    KvCache cache(harness.model.spec, DType::f32);
    const Segment segment{.sequence = 0, .ids = ids, .types = {}, .cache = &cache};
    EXPECT_THROW(harness.run({&segment, 1}, logits), Error);
  }
}

}  // namespace
}  // namespace vitrine
