#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Products of many rows in 8 bits: both sides rounded to whole numbers of [-127, 127] with one scale for every 32 numbers of a
// row (as llama.cpp rounds what it multiplies), summed in 32 bits inside such a chunk and in f32 over chunks. Compiled for VNNI by
// attributes; may be called where has_int8_dot() says so.

namespace vitrine {

/// Whether this CPU multiplies groups of four bytes in hardware, 512 bits wide.
bool has_int8_dot();

constexpr std::size_t int8_chunk = 32;
constexpr std::size_t int8_columns = 64;  ///< of a group of packed weights
constexpr std::size_t int8_pack_rows = 16;

/// Rows of x. Inside a chunk the numbers stand in an order of their own, the same as in packed weights.
class Int8Rows {
 public:
  /// @param inner  a multiple of int8_chunk
  void resize(std::size_t rows, std::size_t inner);
  /// Rounds one row. A chunk with a NaN or infinity has no number; one whose largest is below 1e-30 is zero.
  void round(std::size_t row, const float* x);

  std::size_t inner() const { return inner_; }
  const std::int8_t* numbers(std::size_t row) const { return numbers_.data() + row * inner_; }
  const float* scales(std::size_t row) const { return scales_.data() + row * inner_ / int8_chunk; }
  /// -128 times the sum of a chunk: weights are stored 128 higher than they are.
  const std::int32_t* offsets(std::size_t row) const { return offsets_.data() + row * inner_ / int8_chunk; }

 private:
  std::size_t inner_ = 0;
  std::vector<std::int8_t> numbers_;
  std::vector<float> scales_;
  std::vector<std::int32_t> offsets_;
};

/// A group of columns in the order in which it is read: numbers [inner / 4][64][4], scales [inner / 32][64].
struct Int8Panel {
  std::uint8_t* numbers;
  float* scales;
};

/// 16 rows of `inner` f32 numbers rounded into columns [first, first + 16) of a panel, as Int8Rows::round does.
/// @param rows  row r at rows + r * inner
/// @param full  what a chunk's largest becomes, at most 127
void pack_int8(const float* rows, std::size_t inner, std::size_t first, const Int8Panel& panel, float full);

struct Int8Product {
  const Int8Rows& x;
  std::size_t first_row, rows;
  Int8Panel weights;
  std::size_t columns;  ///< of the panel in use
  const float* bias;    ///< [columns] or null
  float* out;           ///< row r of x at out + (r - first_row) * out_stride
  std::size_t out_stride;
};

/// out[r, c] = sum_k x[r, k] * weights[c, k] (+ bias[c]), over chunks in their order whatever the number of rows and columns.
void multiply_int8(const Int8Product& product);

}  // namespace vitrine
