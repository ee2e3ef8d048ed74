#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/base/half.h"

// How the readers and writers of blocks touch bytes.

namespace vitrine::blocks {

inline constexpr std::size_t small = 32, super = 256;  // numbers a block holds

template <typename T>
T load(const std::byte* source) {
  T bits;
  std::memcpy(&bits, source, sizeof bits);
  return bits;
}

template <typename T>
void store(std::byte* target, T bits) {
  std::memcpy(target, &bits, sizeof bits);
}

inline std::uint16_t load_u16(const std::byte* source) { return load<std::uint16_t>(source); }
inline std::uint32_t load_u32(const std::byte* source) { return load<std::uint32_t>(source); }
inline float load_f16(const std::byte* source) { return f32_from_f16(load_u16(source)); }
inline void store_u16(std::byte* target, std::uint16_t bits) { store(target, bits); }
inline unsigned byte_at(const std::byte* source, std::size_t index) { return std::to_integer<unsigned>(source[index]); }

}  // namespace vitrine::blocks
