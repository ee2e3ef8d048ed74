#include "core/checkpoint/tensor_to_write.h"

#include "core/base/error.h"

namespace vitrine {

std::uint64_t TensorToWrite::bytes() const {
  const DTypeInfo& info = dtype_info(type);
  std::uint64_t count = 1;
  for (const std::size_t extent : shape) count *= extent;
  const std::size_t cols = shape.empty() ? 1 : shape.back();
  if (cols % info.block_size != 0) {
    throw Error({"tensor " + quoted(name), "rows of a multiple of " + std::to_string(info.block_size) + " numbers for " + std::string(info.name), std::to_string(cols),
                 "choose a type whose blocks divide them, such as F16"});
  }
  return count / info.block_size * info.block_bytes;
}

std::uint64_t bytes_of(std::span<const TensorToWrite> tensors) {
  std::uint64_t sum = 0;
  for (const TensorToWrite& tensor : tensors) sum += tensor.bytes();
  return sum;
}

Weight made(const TensorToWrite& tensor) {
  Weight weight = tensor.make();
  VITRINE_CHECK(weight.type == tensor.type && weight.bytes() == tensor.bytes());
  return weight;
}

}  // namespace vitrine
