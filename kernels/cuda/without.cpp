// What a build without CUDA says.
#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/ops/cuda_product.h"

namespace vitrine {

std::string cuda_missing() { return "no CUDA in this build (VITRINE_CUDA)"; }

void multiply_on_device(const DenseRows<const float>&, const DenseRows<const float>&, std::size_t, const DenseRows<float>&) {
  throw Error({"CUDA", "a device", cuda_missing(), ""});
}

}  // namespace vitrine
