#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"

namespace vitrine {

/// A tensor as a file's header declares it, before anything was believed.
struct DeclaredTensor {
  std::string name;
  DType type;
  std::vector<std::uint64_t> shape;  ///< slowest axis first
  std::uint64_t begin = 0;           ///< of its bytes in `data`
  std::string word{};                ///< NamedTensor::word
};

/// Checks the declarations against the bytes there are (sizes, alignment to `alignment`, overlaps, equal names) and turns
/// them into views. @throws Error naming the file and the tensor
std::vector<NamedTensor> tensor_table(const std::string& where, std::span<const DeclaredTensor> declared,
                                      const std::shared_ptr<const MappedFile>& file, std::uint64_t data_begin,
                                      std::uint64_t alignment);

/// The bytes in place, or a copy where the file put numbers at an address that the processor must not read them from.
Weight aligned(Weight weight, std::uint64_t bytes);

}  // namespace vitrine
