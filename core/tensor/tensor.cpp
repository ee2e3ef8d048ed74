#include "core/tensor/tensor.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "core/tensor/sparse_rows.h"

namespace vitrine {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Uninitialised. From two huge pages on at the border of one, so that the system can give such pages if it likes.
std::byte* allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= 2 * huge_page ? huge_page : 64;
  const std::size_t rounded = (bytes + 63) / 64 * 64;
  const std::size_t whole = alignment == 64 ? rounded : (rounded + huge_page - 1) / huge_page * huge_page;
  void* data = std::aligned_alloc(alignment, whole == 0 ? 64 : whole);
  if (!data) throw std::bad_alloc();
  if (alignment == huge_page) ::madvise(data, whole, MADV_HUGEPAGE);  // a wish: where it is refused, small pages serve
  return static_cast<std::byte*>(data);
}

}  // namespace

void Tensor::Free::operator()(std::byte* data) const { std::free(data); }

Tensor::Tensor(DType type, std::vector<std::size_t> shape) : type_(type), shape_(std::move(shape)) {
  VITRINE_CHECK(!shape_.empty());
  byte_count_ = row_bytes(type, shape_.back());
  for (std::size_t axis = 0; axis + 1 < shape_.size(); ++axis) {
    VITRINE_CHECK(!__builtin_mul_overflow(byte_count_, shape_[axis], &byte_count_));
  }
  data_.reset(allocate(byte_count_));
}

std::size_t Tensor::size() const {
  if (shape_.empty()) return 0;
  std::size_t count = 1;
  for (const std::size_t extent : shape_) count *= extent;
  return count;
}

std::span<float> Tensor::floats() {
  VITRINE_CHECK(type_ == DType::f32);
  return {reinterpret_cast<float*>(data_.get()), byte_count_ / sizeof(float)};
}

std::span<const float> Tensor::floats() const {
  VITRINE_CHECK(type_ == DType::f32);
  return {reinterpret_cast<const float*>(data_.get()), byte_count_ / sizeof(float)};
}

Weight make_weight(Tensor tensor) {
  VITRINE_CHECK(tensor.shape().size() == 1 || tensor.shape().size() == 2);
  const auto owner = std::make_shared<const Tensor>(std::move(tensor));
  const std::vector<std::size_t>& shape = owner->shape();
  return {.type = owner->type(),
          .rows = shape.size() == 2 ? shape[0] : 1,
          .cols = shape.back(),
          .data = owner->bytes().data(),
          .owner = owner};
}

Tensor expand(const Weight& weight) {
  Tensor numbers(DType::f32, {weight.rows, weight.cols});
  for (std::size_t row = 0; row < weight.rows; ++row) expand_row(weight, row, numbers.floats().data() + row * weight.cols);
  return numbers;
}

}  // namespace vitrine
