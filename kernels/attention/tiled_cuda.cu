#include <cuda_runtime.h>

#include "core/base/error.h"
#include "kernels/attention/tiled_cuda_internal.h"
#include "kernels/cuda/device_internal.h"
#include "kernels/cuda/team.cuh"
#include "kernels/kernels.h"

// Keys, values and queries live in the host's memory and travel with every call: this kernel is the definition of attention on
// a device and what a cache there will be tested against, not a fast path.

namespace vitrine {
namespace {

constexpr std::size_t most_head_dim = 256;

template <unsigned dim>
__global__ void __launch_bounds__(tiled::threads) attend(const tiled::Problem problem) {
  extern __shared__ float memory[];
  cuda::Team<tiled::State<dim>> team;
  tiled::Block<dim>(problem, blockIdx.x, blockIdx.y, memory).run(team);
}

template <unsigned dim>
void launch(const tiled::Problem& problem) {
  constexpr int bytes = static_cast<int>(tiled::shared_numbers(dim) * sizeof(float));
  cuda::check(cudaFuncSetAttribute(attend<dim>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "reserve shared memory");
  attend<dim><<<dim3(tiled::row_blocks(problem), problem.kv_heads), tiled::threads, bytes>>>(problem);
  cuda::check(cudaGetLastError(), "start the attention kernel");
}

/// What the device keeps from call to call.
struct DeviceMemory {
  cuda::Buffer q, k, v, out, normalizer, stats;
};

void* upload_rows(cuda::Buffer& buffer, const KvView& view) {
  const std::size_t head = row_bytes(view.type, view.head_dim);
  auto* device = static_cast<std::byte*>(buffer.reserve(view.kv_len * view.kv_heads * head));
  for (std::size_t h = 0; h < view.kv_heads; ++h) {
    cuda::upload(device + h * view.kv_len * head, view.row(0, h), {view.kv_len, head, static_cast<std::size_t>(view.row_bytes)});
  }
  return device;
}

/// Rows of [q_len, heads, width] numbers whose last two axes are dense.
template <typename T, std::size_t Rank>
cuda::HostRows rows_of(TensorView<T, Rank> view) {
  return {view.extent(0), view.size() / view.extent(0) * sizeof(T), view.stride(0) * sizeof(T)};
}

void run_problem(const AttentionProblem& p, DeviceMemory& memory) {
  const std::size_t rows = p.q.extent(0) * p.q.extent(1);
  tiled::Problem problem{};
  auto* q = memory.q.reserve_of<float>(p.q.size());
  cuda::upload(q, p.q.data(), rows_of(p.q));
  problem.q = q;
  problem.k = upload_rows(memory.k, p.k);
  problem.v = upload_rows(memory.v, p.v);
  problem.out = memory.out.reserve_of<float>(p.q.size());
  if (!p.normalizer.empty()) problem.normalizer = memory.normalizer.reserve_of<float>(rows);
  if (!p.stats.empty()) problem.stats = memory.stats.reserve_of<RowStats>(rows);
  problem.score = p.score;
  problem.q_len = static_cast<std::uint32_t>(p.q.extent(0));
  problem.kv_len = static_cast<std::uint32_t>(p.k.kv_len);
  problem.heads = static_cast<std::uint32_t>(p.q.extent(1));
  problem.kv_heads = static_cast<std::uint32_t>(p.k.kv_heads);
  problem.head_dim = static_cast<std::uint32_t>(p.k.head_dim);
  problem.q_start = static_cast<std::uint32_t>(p.q_start);
  problem.half = p.k.type == DType::f16;
  p.k.head_dim <= 64 ? launch<64>(problem) : p.k.head_dim <= 128 ? launch<128>(problem) : launch<256>(problem);
  cuda::download(p.out.data(), problem.out, rows_of(p.out));
  if (!p.normalizer.empty()) cuda::download(p.normalizer.data(), problem.normalizer, rows_of(p.normalizer));
  if (!p.stats.empty()) cuda::download(p.stats.data(), problem.stats, rows_of(p.stats));
}

PatternRule rule(const KernelOptions& options) { return rule_without_options("tiled_cuda", options); }

template <typename T>
bool heads_are_dense(TensorView<T, 3> view) {
  return view.stride(2) == 1 && view.stride(1) == view.extent(2);
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  if (const std::string missing = cuda_missing(); !missing.empty()) return "a CUDA device (" + missing + ")";
  if (const std::string types = refuse_cache_types(problem); !types.empty()) return types;
  if (const std::string terms = refuse_terms(problem, KnownTerms::none); !terms.empty()) return terms;
  if (problem.k.head_dim > most_head_dim) return "heads of at most 256 numbers";
  const bool countable = problem.k.kv_len < (1u << 24) && problem.q_start < (1u << 24) && problem.q.extent(0) * problem.q.extent(1) < (1u << 31);
  if (!countable) return "at most 16777215 keys and 2147483647 rows";
  if (problem.k.kv_heads > 65535) return "at most 65535 key heads";
  return heads_are_dense(problem.q) && heads_are_dense(problem.out) ? "" : "queries and outputs whose heads lie side by side";
}

void run(const KernelCall& call) {
  static thread_local DeviceMemory memory;
  try {
    for (const AttentionProblem& problem : call.problems) {
      if (problem.q.extent(0) > 0) run_problem(problem, memory);
    }
  } catch (const Error& error) {
    call.report.failure = error.what();
  }
}

}  // namespace

const AttentionKernel& attention_kernel_tiled_cuda() {
  static const AttentionKernel kernel{"tiled_cuda",
                                      "tiles of queries against tiles of keys on a CUDA device, f32 arithmetic",
                                      "Dao et al. 2022, arXiv:2205.14135",
                                      "cuda",
                                      1e-5f,
                                      rule,
                                      refuses,
                                      [](std::span<const AttentionProblem>, const KernelOptions&, std::size_t) { return std::size_t{0}; },
                                      run};
  return kernel;
}

}  // namespace vitrine
