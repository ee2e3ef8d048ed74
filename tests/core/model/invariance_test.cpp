#include <gtest/gtest.h>

#include <filesystem>

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
