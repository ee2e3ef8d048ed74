#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/tensor_view.h"

// The work of one block of threads: a square of outputs, over slices of the inner axis.

namespace vitrine::tiled_product {

constexpr unsigned tile = 64, slice = 16;
constexpr unsigned side = 16, threads = side * side, each = tile / side;
constexpr unsigned shared_numbers = 2 * tile * (slice + 1);

/// Dense matrices in the device's memory: x [rows, inner], weight [columns, inner], out [rows, columns].
struct Problem {
  const float* x;
  const float* weight;
  float* out;
  std::size_t rows, columns, inner;
};

/// A thread's outputs: every side-th row and column.
struct State {
  float sums[each][each];
};

struct Block {
  Problem p;
  std::size_t first_row, first_column;
  float* memory;  // shared, [2, tile, slice + 1]

  template <class Team>
  VITRINE_HOST_DEVICE void run(Team& team) {
    team.each([&](unsigned, State& state) { state = {}; });
    for (std::size_t begin = 0; begin < p.inner; begin += slice) {
      team.each([&](unsigned thread, State&) {
        load(thread, p.x, {first_row, p.rows, begin}, memory);
        load(thread, p.weight, {first_column, p.columns, begin}, memory + tile * (slice + 1));
      });
      team.each([&](unsigned thread, State& state) { multiply(thread, state); });
    }
    team.each([&](unsigned thread, State& state) { store(thread, state); });
  }

 private:
  struct Corner {
    std::size_t first, count, begin;  // first row of the tile, rows there are, first number of the slice
  };
  /// A tile of rows; zeros outside the matrix.
  VITRINE_HOST_DEVICE void load(unsigned thread, const float* matrix, const Corner& at, float* target) const {
    for (unsigned i = thread; i < tile * slice; i += threads) {
      const std::size_t row = at.first + i / slice, k = at.begin + i % slice;
      target[i / slice * (slice + 1) + i % slice] = row < at.count && k < p.inner ? matrix[row * p.inner + k] : 0.0f;
    }
  }

  VITRINE_HOST_DEVICE void multiply(unsigned thread, State& state) const {
    const float* x = memory + thread / side * (slice + 1);
    const float* weight = memory + (tile + thread % side) * (slice + 1);
    for (unsigned k = 0; k < slice; ++k) {
      for (unsigned r = 0; r < each; ++r) {
        for (unsigned c = 0; c < each; ++c) state.sums[r][c] += x[r * side * (slice + 1) + k] * weight[c * side * (slice + 1) + k];
      }
    }
  }

  VITRINE_HOST_DEVICE void store(unsigned thread, const State& state) const {
    for (unsigned r = 0; r < each; ++r) {
      for (unsigned c = 0; c < each; ++c) {
        const std::size_t row = first_row + thread / side + r * side, column = first_column + thread % side + c * side;
        if (row < p.rows && column < p.columns) p.out[row * p.columns + column] = state.sums[r][c];
      }
    }
  }
};

}  // namespace vitrine::tiled_product
