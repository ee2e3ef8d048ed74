#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vitrine {

/// A look at rows of bits that someone else owns. Column c of a row is bit (first_bit + c) % 64, counted from the lowest, of the
/// row's word (first_bit + c) / 64.
struct BitView {
  const std::uint64_t* words = nullptr;
  std::size_t rows = 0, columns = 0;
  std::size_t row_words = 0;  ///< from one row to the next; 0: all rows are the same
  std::size_t first_bit = 0;

  static constexpr std::size_t words_of(std::size_t columns) { return (columns + 63) / 64; }

  bool empty() const { return words == nullptr; }
  bool operator()(std::size_t row, std::size_t column) const {
    const std::size_t bit = first_bit + column;
    return (words[row * row_words + bit / 64] >> bit % 64 & 1) != 0;
  }
  /// Columns [column, column + 64) of a row, the first one in the lowest bit; zeros behind the last column.
  std::uint64_t word(std::size_t row, std::size_t column) const {
    if (column >= columns) return 0;
    const std::size_t bit = first_bit + column, left = columns - column, shift = bit % 64;
    const std::uint64_t* place = words + row * row_words + bit / 64;
    std::uint64_t bits = *place >> shift;
    if (shift > 0 && left > 64 - shift) bits |= place[1] << (64 - shift);
    return left >= 64 ? bits : bits & ((std::uint64_t{1} << left) - 1);
  }
  /// Rows [first, first + count).
  BitView slice(std::size_t first, std::size_t count) const {
    BitView part = *this;
    if (empty()) return part;
    part.words += first * row_words;
    part.rows = count;
    return part;
  }
  /// Columns [first, first + count).
  BitView columns_from(std::size_t first, std::size_t count) const {
    BitView part = *this;
    part.first_bit += first;
    part.columns = count;
    return part;
  }
};

/// Rows of bits of its own, zeros at first.
class BitMatrix {
 public:
  BitMatrix(std::size_t rows, std::size_t columns) : rows_(rows), columns_(columns), words_(rows * BitView::words_of(columns), 0) {}
  void set(std::size_t row, std::size_t column) { words_[row * BitView::words_of(columns_) + column / 64] |= std::uint64_t{1} << column % 64; }
  BitView view() const { return {.words = words_.data(), .rows = rows_, .columns = columns_, .row_words = BitView::words_of(columns_)}; }

 private:
  std::size_t rows_, columns_;
  std::vector<std::uint64_t> words_;
};

}  // namespace vitrine
