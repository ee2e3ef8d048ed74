#pragma once

#include <cstdint>

namespace vitrine {

/// splitmix64's output function (Steele et al. 2014): the same numbers on every machine.
constexpr std::uint64_t scrambled(std::uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}
constexpr std::uint64_t scramble_step = 0x9e3779b97f4a7c15;

}  // namespace vitrine
