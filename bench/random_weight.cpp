#include "bench/random_weight.h"

#include <cstring>
#include <random>

#include "core/base/half.h"

namespace vitrine {

std::vector<DType> weight_types() {
  std::vector<DType> types;
  for (int type = 0; type < static_cast<int>(DType::i8); ++type) types.push_back(static_cast<DType>(type));
  return types;
}

Weight random_weight(DType type, std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  Tensor tensor(type, {rows, cols});
  if (type <= DType::q5_1 || type == DType::mxfp4) {  // of the others a search would take long, and leave bit patterns out
    std::normal_distribution<float> normal;
    std::vector<float> numbers(rows * cols);
    for (float& number : numbers) number = normal(random);
    dtype_info(type).compress(numbers.data(), tensor.bytes().data(), numbers.size());
    return make_weight(std::move(tensor));
  }
  for (std::byte& byte : tensor.bytes()) byte = static_cast<std::byte>(random());
  const DTypeInfo& info = dtype_info(type);
  const std::uint16_t scales[] = {f16_from_f32(0.01f), f16_from_f32(0.02f)};
  for (std::size_t at = 0; at < tensor.bytes().size(); at += info.block_bytes) {
    std::memcpy(tensor.bytes().data() + at + info.scale_offset, scales, info.scale_count * sizeof scales[0]);
  }
  return make_weight(std::move(tensor));
}

}  // namespace vitrine
