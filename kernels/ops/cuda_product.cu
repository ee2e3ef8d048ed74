#include <cuda_runtime.h>

#include "core/base/error.h"
#include "kernels/cuda/device_internal.h"
#include "kernels/cuda/team.cuh"
#include "kernels/kernels.h"
#include "kernels/ops/cuda_product.h"
#include "kernels/ops/cuda_product_internal.h"

namespace vitrine {
namespace {

__global__ void __launch_bounds__(tiled_product::threads) multiply(const tiled_product::Problem problem) {
  __shared__ float memory[tiled_product::shared_numbers];
  cuda::Team<tiled_product::State> team;
  tiled_product::Block block{problem, std::size_t{blockIdx.y} * tiled_product::tile, std::size_t{blockIdx.x} * tiled_product::tile, memory};
  block.run(team);
}

template <typename T>
cuda::HostRows rows_of(const DenseRows<T>& rows, std::size_t width) {
  return {rows.count, width * sizeof(float), rows.stride * sizeof(float)};
}

constexpr unsigned blocks_of(std::size_t count) { return static_cast<unsigned>((count + tiled_product::tile - 1) / tiled_product::tile); }

}  // namespace

void multiply_on_device(const DenseRows<const float>& x, const DenseRows<const float>& weight, std::size_t inner, const DenseRows<float>& out) {
  if (const std::string missing = cuda_missing(); !missing.empty()) throw Error({"CUDA", "a device", missing, ""});
  if (x.count == 0 || weight.count == 0) return;
  VITRINE_CHECK(out.count == x.count && blocks_of(x.count) <= 65535);
  static thread_local cuda::Buffer x_memory, weight_memory, out_memory;
  auto* device_x = x_memory.reserve_of<float>(x.count * inner);
  auto* device_weight = weight_memory.reserve_of<float>(weight.count * inner);
  auto* device_out = out_memory.reserve_of<float>(x.count * weight.count);
  cuda::upload(device_x, x.data, rows_of(x, inner));
  cuda::upload(device_weight, weight.data, rows_of(weight, inner));
  multiply<<<dim3(blocks_of(weight.count), blocks_of(x.count)), tiled_product::threads>>>({device_x, device_weight, device_out, x.count, weight.count, inner});
  cuda::check(cudaGetLastError(), "start the product");
  cuda::download(out.data, device_out, rows_of(out, weight.count));
}

}  // namespace vitrine
