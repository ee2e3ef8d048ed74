// A token loop allocates nothing: this program counts what operator new is asked for.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "core/model/forward.h"
#include "kernels/kernels.h"
#include "tests/kernels/attention_problem.h"

namespace {

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  allocations.fetch_add(1);
  void* place = alignment > 0 ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment) : std::malloc(bytes);
  if (!place) throw std::bad_alloc();
  return place;
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return counted(bytes, static_cast<std::size_t>(alignment)); }
// std::stable_sort asks this one, and gives back to the plain delete.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return counted(bytes, 0);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* place) noexcept { std::free(place); }
void operator delete(void* place, std::size_t) noexcept { std::free(place); }
void operator delete(void* place, std::align_val_t) noexcept { std::free(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept { std::free(place); }

namespace vitrine {
namespace {

template <class Task>
std::size_t allocations_of(const Task& task) {
  const std::size_t before = allocations.load();
  task();
  return allocations.load() - before;
}

TEST(Allocation, IsCounted) {
  EXPECT_GE(allocations_of([] { std::vector<int>(100).swap(*std::make_unique<std::vector<int>>()); }), 1u);
}

/// Allocations of eight steps, after the same eight have been made; of the best of some tries, for a worker that had
/// nothing to do so far makes its buffers when it is first quick enough.
std::size_t of_decoding(const char* model_path, Precision precision, const KernelChoice& kernel, KvFormat format) {
  const Model model = load_model(std::filesystem::path(VITRINE_TEST_DATA) / "golden" / model_path);
  ThreadPool pool(2, initialize_worker);
  const std::unique_ptr<Ops> ops = make_cpu_ops(precision, pool);
  Workspace workspace;
  Run progress;
  const TapPlan taps;
  const ForwardSinks sinks{.logit_rows = LogitRows::last, .logits = [](std::span<const RowRef>, TensorView<float, 2>) {}};
  KvCache cache(model.spec, format);
  const std::vector<TokenId> ids{3, 17, 42, 5, 5, 57, 9, 17, 42, 30, 2, 8};
  const auto feed = [&](std::span<const TokenId> some) {
    const Segment segment{.ids = some, .cache = &cache};
    forward({model, *ops, kernel, workspace, progress, taps}, {&segment, 1}, sinks);
  };
  const auto decode = [&] {
    cache.truncate(4);
    for (std::size_t i = 4; i < ids.size(); ++i) feed(std::span(ids).subspan(i, 1));
  };
  feed(std::span(ids).first(4));
  std::size_t least = allocations_of(decode);
  for (int tries = 0; least > 0 && tries < 50; ++tries) least = std::min(least, allocations_of(decode));
  return least;
}

TEST(Allocation, DecodingDoesNone) {
  for (const char* model_path : {"llama/model.gguf", "gpt2/model", "decoders/mixtral/model.gguf", "decoders/gemma3/model.gguf", "decoders/phi3_short/model", "decoders/opt_after/model"}) {
    for (const char* name : {"flash", "flash_bf16"}) {
      if (std::string_view(name) == "flash_bf16" && !has_bf16_products()) continue;
      for (const Precision precision : {Precision::fast, Precision::exact}) {
        for (const DType kv : {DType::f32, DType::f16, DType::q8_0, DType::q4_1}) {
          SCOPED_TRACE(std::string(model_path) + " " + name + " " + std::string(dtype_info(kv).name));
          EXPECT_EQ(of_decoding(model_path, precision, choose_attention_kernel(name), kv), 0u);
        }
      }
    }
  }
}

/// Heads and texts longer than those of the models above: every way through the kernels.
TEST(Allocation, AttentionOfOneQueryDoesNone) {
  ThreadPool pool(2, initialize_worker);
  for (const char* name : {"flash", "flash_bf16"}) {
    const Choice choice = chosen(name);
    for (const DType kv : {DType::f32, DType::f16, DType::q8_0, DType::q4_1}) {
      Data data({.heads = 6, .kv_heads = 2, .head_dim = 64, .q_len = 1, .kv_len = 1100, .kv = kv});
      const AttentionProblem problem = data.problem(choice);
      if (!does(choice, problem)) continue;
      Tensor scratch(DType::f32, {choice.kernel->scratch_bytes({&problem, 1}, choice.options, 2) / sizeof(float) + 1});
      KernelReport report;
      EXPECT_EQ(allocations_of([&] { choice.kernel->run({{&problem, 1}, choice.options, pool, scratch.bytes(), report}); }), 0u) << name;
    }
  }
}

}  // namespace
}  // namespace vitrine
