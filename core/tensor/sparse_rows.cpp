#include "core/tensor/sparse_rows.h"

#include <algorithm>
#include <cstring>

#include "core/base/half.h"

namespace vitrine {
namespace {

constexpr std::size_t block_bytes = 34, scale_bytes = 2;  // of Q8_0

/// Numbers [first, first + count) of a row as they are stored, one behind the other.
const std::byte* stored(DType type, const std::byte* row, std::size_t first) {
  if (type == DType::q8_0) return row + first / SparseRows::group * block_bytes + scale_bytes;
  return row + first * dtype_info(type).block_bytes;
}

/// Either zero of floating point counts.
bool is_zero(DType type, const std::byte* number) {
  std::uint32_t bits = 0;
  const std::size_t size = type == DType::q8_0 ? 1 : dtype_info(type).block_bytes;
  std::memcpy(&bits, number, size);
  return type == DType::q8_0 ? bits == 0 : (bits & ~(std::uint32_t{1} << (8 * size - 1))) == 0;
}

std::uint32_t marks_of(const Weight& weight, const std::byte* row, std::size_t first) {
  const std::size_t count = std::min(SparseRows::group, weight.cols - first), size = weight.type == DType::q8_0 ? 1 : dtype_info(weight.type).block_bytes;
  const std::byte* numbers = stored(weight.type, row, first);
  std::uint32_t marks = 0;
  for (std::size_t i = 0; i < count; ++i) marks |= static_cast<std::uint32_t>(!is_zero(weight.type, numbers + i * size)) << i;
  return marks;
}

}  // namespace

bool can_be_sparse(DType type) { return type == DType::f32 || type == DType::f16 || type == DType::bf16 || type == DType::q8_0; }

SparseRows::SparseRows(const Weight& dense)
    : type_(dense.type), cols_(dense.cols), groups_((dense.cols + group - 1) / group),
      number_bytes_(dense.type == DType::q8_0 ? 1 : dtype_info(dense.type).block_bytes), scale_bytes_(dense.type == DType::q8_0 ? scale_bytes : 0) {
  VITRINE_CHECK(can_be_sparse(type_) && dense.data != nullptr);
  std::vector<std::uint32_t> marks(dense.rows * groups_);
  begins_.push_back(0);
  for (std::size_t r = 0; r < dense.rows; ++r) {
    std::size_t there = 0;
    for (std::size_t g = 0; g < groups_; ++g) {
      const std::uint32_t word = marks[r * groups_ + g] = marks_of(dense, dense.row(r), g * group);
      there += static_cast<std::size_t>(std::popcount(word));
    }
    const std::size_t size = groups_ * (sizeof(std::uint32_t) + scale_bytes_) + there * number_bytes_;
    begins_.push_back(begins_.back() + (size + 3) / 4 * 4);
  }
  memory_ = Tensor(DType::i8, {begins_.back() + spare});
  std::ranges::fill(memory_.bytes(), std::byte{0});
  for (std::size_t r = 0; r < dense.rows; ++r) {
    std::byte* to = memory_.bytes().data() + begins_[r];
    std::memcpy(to, marks.data() + r * groups_, groups_ * sizeof(std::uint32_t));
    to += groups_ * sizeof(std::uint32_t);
    for (std::size_t g = 0; g < groups_ && scale_bytes_ > 0; ++g, to += scale_bytes_) std::memcpy(to, dense.row(r) + g * block_bytes, scale_bytes_);
    for (std::size_t g = 0; g < groups_; ++g) {
      const std::byte* numbers = stored(type_, dense.row(r), g * group);
      for (std::uint32_t word = marks[r * groups_ + g]; word != 0; word &= word - 1, to += number_bytes_) {
        std::memcpy(to, numbers + static_cast<std::size_t>(std::countr_zero(word)) * number_bytes_, number_bytes_);
      }
    }
  }
}

SparseRows::Row SparseRows::row(std::size_t index) const {
  const std::byte* at = data() + begins_[index];
  const std::byte* behind_marks = at + groups_ * sizeof(std::uint32_t);
  return {reinterpret_cast<const std::uint32_t*>(at), behind_marks, behind_marks + groups_ * scale_bytes_};
}

void SparseRows::expand(std::size_t index, float* target) const {
  Row from = row(index);
  std::fill_n(target, cols_, 0.0f);
  for (std::size_t g = 0; g < groups_; ++g) {
    float scale = 1.0f;
    if (scale_bytes_ > 0) {
      std::uint16_t bits;
      std::memcpy(&bits, from.scales + g * scale_bytes_, sizeof bits);
      scale = f32_from_f16(bits);
    }
    for (std::uint32_t word = from.marks[g]; word != 0; word &= word - 1, from.numbers += number_bytes_) {
      float& number = target[g * group + static_cast<std::size_t>(std::countr_zero(word))];
      if (type_ == DType::q8_0) {
        number = scale * static_cast<float>(static_cast<std::int8_t>(*from.numbers));
      } else {
        dtype_info(type_).expand(from.numbers, &number, 1);
      }
    }
  }
}

double share_of_zeros(const Weight& weight, std::size_t most_rows) {
  if (const SparseRows* sparse = sparse_rows(weight)) {
    std::size_t there = 0;
    for (std::size_t r = 0; r < weight.rows; ++r) {
      for (std::size_t g = 0; g < sparse->groups(); ++g) there += static_cast<std::size_t>(std::popcount(sparse->row(r).marks[g]));
    }
    return 1.0 - static_cast<double>(there) / static_cast<double>(weight.rows * weight.cols);
  }
  const std::size_t rows = std::min(most_rows, weight.rows);
  std::size_t there = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::byte* row = weight.row(i * weight.rows / rows);
    for (std::size_t first = 0; first < weight.cols; first += SparseRows::group) there += static_cast<std::size_t>(std::popcount(marks_of(weight, row, first)));
  }
  return 1.0 - static_cast<double>(there) / static_cast<double>(rows * weight.cols);
}

Weight make_sparse(const Weight& dense) {
  return {.type = dense.type, .rows = dense.rows, .cols = dense.cols, .data = nullptr, .owner = std::make_shared<const SparseRows>(dense)};
}

const SparseRows* sparse_rows(const Weight& weight) {
  return weight.data == nullptr ? dynamic_cast<const SparseRows*>(weight.owner.get()) : nullptr;
}

const void* place_of(const Weight& weight) { return weight.data ? static_cast<const void*>(weight.data) : weight.owner.get(); }

bool same_numbers(const Weight& a, const Weight& b) {
  if (a.type != b.type || a.rows != b.rows || a.cols != b.cols) return false;
  return place_of(a) == place_of(b) || (a.data != nullptr && b.data != nullptr && std::memcmp(a.data, b.data, a.bytes()) == 0);
}

void expand_row(const Weight& weight, std::size_t row, float* target) {
  if (const SparseRows* sparse = sparse_rows(weight)) return sparse->expand(row, target);
  VITRINE_CHECK(weight.data != nullptr && dtype_info(weight.type).expand != nullptr);
  dtype_info(weight.type).expand(weight.row(row), target, weight.cols);
}

std::size_t stored_bytes(const Weight& weight) {
  const SparseRows* sparse = sparse_rows(weight);
  return sparse ? sparse->bytes() : weight.bytes();
}

}  // namespace vitrine
