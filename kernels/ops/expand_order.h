#pragma once

#include <array>
#include <cstdint>

namespace vitrine {

/// Which of the bytes that are there goes into each byte of a group of `numbers`, for every pattern of marks; 0x80: none, 0.
template <std::size_t numbers, std::size_t number_bytes>
constexpr auto make_expand_order() {
  std::array<std::array<std::uint8_t, numbers * number_bytes>, (1u << numbers)> order{};
  for (std::size_t marks = 0; marks < order.size(); ++marks) {
    std::uint8_t next = 0;
    for (std::size_t i = 0; i < numbers; ++i) {
      const bool there = (marks >> i & 1u) != 0;
      for (std::size_t b = 0; b < number_bytes; ++b) order[marks][i * number_bytes + b] = there ? next++ : std::uint8_t{0x80};
    }
  }
  return order;
}

inline constexpr auto expand_bytes_order = make_expand_order<8, 1>();
inline constexpr auto expand_halves_order = make_expand_order<8, 2>();
inline constexpr auto expand_words_order = make_expand_order<4, 4>();

}  // namespace vitrine
