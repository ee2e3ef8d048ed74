#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/dtype.h"
#include "core/tensor/tensor_view.h"

namespace vitrine {

/// What keeps numbers in memory that a Weight looks at.
class Storage {
 public:
  virtual ~Storage() = default;
  /// Tells that these bytes are not needed soon: a mapped file's pages may go, to be read again where they are touched.
  virtual void give_back(std::span<const std::byte> bytes) const { static_cast<void>(bytes); }
  /// Whether the bytes are a file's, in the small pages of the system's cache.
  virtual bool is_mapped() const { return false; }
};

/// Owns numbers of any type, 64-byte aligned, last axis fastest and packed in the type's blocks. Large ones ask for huge
/// pages (docs/decisions/0007).
class Tensor : public Storage {
 public:
  Tensor() = default;
  Tensor(DType type, std::vector<std::size_t> shape);  ///< contents unspecified

  DType type() const { return type_; }
  const std::vector<std::size_t>& shape() const { return shape_; }
  std::size_t size() const;
  std::span<std::byte> bytes() { return {data_.get(), byte_count_}; }
  std::span<const std::byte> bytes() const { return {data_.get(), byte_count_}; }

  /// The numbers of an f32 tensor.
  std::span<float> floats();
  std::span<const float> floats() const;

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  DType type_ = DType::f32;
  std::vector<std::size_t> shape_;
  std::size_t byte_count_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
};

/// A matrix or vector of weights as it lies in the file or in memory: row-major [rows, cols], cols contiguous.
/// A product is x [n, cols] times its transpose: rows are output features. A vector has rows = 1.
struct Weight {
  DType type = DType::f32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const std::byte* data = nullptr;
  std::shared_ptr<const Storage> owner;  ///< keeps the mapping or the tensor alive

  std::size_t stride_bytes() const { return row_bytes(type, cols); }
  std::size_t bytes() const { return rows * stride_bytes(); }
  const std::byte* row(std::size_t index) const { return data + index * stride_bytes(); }
};

/// A weight that owns its tensor (rank 1 or 2).
Weight make_weight(Tensor tensor);
/// All numbers as f32, [rows, cols].
Tensor expand(const Weight& weight);

}  // namespace vitrine
