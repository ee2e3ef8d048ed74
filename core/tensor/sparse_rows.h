#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "core/tensor/tensor.h"

namespace vitrine {

/// A matrix many of whose numbers are zero, in memory alone (no file format has it): for every 32 columns a word of bits that says which
/// numbers are there, and these one behind the other, row after row. What is there keeps the bits of its type: F32, F16, BF16, or the
/// bytes of Q8_0, whose scales stand between the words and the numbers.
/// 2:4 needs the same 4 bits for every 4 columns whether they are positions or marks, so it has no form of its own.
class SparseRows : public Storage {
 public:
  static constexpr std::size_t group = 32;   ///< columns of a word
  static constexpr std::size_t spare = 128;  ///< bytes behind the last row that may be read

  /// @param dense  of a type that can_be_sparse()
  explicit SparseRows(const Weight& dense);

  struct Row {
    const std::uint32_t* marks;  ///< [groups] bit i is column i of the group; those behind the last column are 0
    const std::byte* scales;     ///< [groups] binary16, of Q8_0
    const std::byte* numbers;    ///< [numbers that are there]
  };
  Row row(std::size_t index) const;
  /// As f32, zeros included. @param target  [cols]
  void expand(std::size_t index, float* target) const;

  DType type() const { return type_; }
  std::size_t rows() const { return begins_.size() - 1; }
  std::size_t groups() const { return groups_; }
  /// Bytes of a number that is there.
  std::size_t number_bytes() const { return number_bytes_; }
  /// Of everything that a product reads.
  std::size_t bytes() const { return begins_.back() + begins_.size() * sizeof(std::size_t); }
  /// Where a row's bytes begin, in all of them.
  std::size_t begin(std::size_t index) const { return begins_[index]; }
  const std::byte* data() const { return memory_.bytes().data(); }

 private:
  DType type_;
  std::size_t cols_, groups_, number_bytes_, scale_bytes_;
  std::vector<std::size_t> begins_;  // [rows + 1]
  Tensor memory_;
};

bool can_be_sparse(DType type);
/// Share of a matrix's numbers that are zero; of a type that can_be_sparse(). @param most_rows  only so many, evenly spread
double share_of_zeros(const Weight& weight, std::size_t most_rows);
/// The same numbers (of zeros: without their sign), sparse. Such a weight has no `data`; its rows are its owner's.
Weight make_sparse(const Weight& dense);
/// Null where the weight is dense.
const SparseRows* sparse_rows(const Weight& weight);
/// What tells weights of different memory apart.
const void* place_of(const Weight& weight);
/// Whether two weights hold the same numbers in the same type; of sparse ones nothing is known but their place.
bool same_numbers(const Weight& a, const Weight& b);
/// A row of a weight in either form, as f32. @param target  [cols]
void expand_row(const Weight& weight, std::size_t row, float* target);
/// Bytes that hold the weight, in either form.
std::size_t stored_bytes(const Weight& weight);

}  // namespace vitrine
