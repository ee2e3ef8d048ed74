#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace vitrine {

/// A tensor that a file is to hold. Its numbers are asked for when its turn comes and let go behind it, so that a writer
/// never has more than one.
struct TensorToWrite {
  std::string name;
  DType type = DType::f32;
  std::vector<std::size_t> shape;  ///< slowest axis first
  std::function<Weight()> make;    ///< as many numbers, of this type
  std::string word{};              ///< what safetensors calls the type where that is not its name here ("BOOL")

  /// @throws Error naming the tensor where the type's blocks do not divide its rows
  std::uint64_t bytes() const;
};

std::uint64_t bytes_of(std::span<const TensorToWrite> tensors);

/// The tensor's numbers, checked against what was announced.
Weight made(const TensorToWrite& tensor);

}  // namespace vitrine
