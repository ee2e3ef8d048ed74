#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/tensor/tensor_view.h"

namespace vitrine {

/// Dense numbers that a step keeps or hands on, [rows, cols].
struct Numbers {
  std::size_t rows = 0, cols = 0;
  std::vector<float> data;

  TensorView<float, 2> view() { return {data.data(), {rows, cols}}; }
  TensorView<const float, 2> view() const { return {data.data(), {rows, cols}}; }
};

/// Copies strided rows. @param x  [rows, cols]
Numbers copy_of(TensorView<const float, 2> x);

/// What flows back into every f32 number that a forward pass holds, found by the number's address: zero where nothing came. That a
/// buffer is written again and again, in place or by turns, is undone by going back through the writes: whoever wrote a number takes
/// what flows into it, which leaves zero for the number that lay there before.
class AdjointMemory {
 public:
  /// @param at, flow  [rows, cols]
  void add(TensorView<const float, 2> at, TensorView<const float, 2> flow);
  /// What flows into these numbers, and zero in its place. Without `data` where all of it is zero.
  Numbers take(TensorView<const float, 2> at);
  /// The same, left where it is.
  Numbers look(TensorView<const float, 2> at) const;
  void clear(TensorView<const float, 2> at);

 private:
  static constexpr std::size_t page_numbers = 1024;
  using Page = std::vector<float>;

  /// Calls visit(page or null, first number in the page, count, place among cols) for the pieces of a row.
  template <class Find, class Visit>
  static void each_piece(const float* row, std::size_t cols, const Find& find, const Visit& visit);
  const Page* page_or_null(std::uintptr_t index) const;
  Page& page(std::uintptr_t index);

  std::unordered_map<std::uintptr_t, Page> pages_;
};

}  // namespace vitrine
