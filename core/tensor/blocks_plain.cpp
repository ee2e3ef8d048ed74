#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/blocks.h"

// Numbers one by one.

namespace vitrine::blocks {

void expand_f32(const std::byte* source, float* target, std::size_t count) {
  std::memcpy(target, source, count * sizeof(float));
}

void expand_f16(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) target[i] = load_f16(source + 2 * i);
}

void expand_bf16(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) target[i] = f32_from_bf16(load_u16(source + 2 * i));
}

void expand_f64(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    double number;
    std::memcpy(&number, source + i * sizeof number, sizeof number);
    target[i] = static_cast<float>(number);
  }
}

void compress_f32(const float* source, std::byte* target, std::size_t count) {
  std::memcpy(target, source, count * sizeof(float));
}

void compress_f16(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) store_u16(target + 2 * i, f16_from_f32(source[i]));
}

void compress_bf16(const float* source, std::byte* target, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) store_u16(target + 2 * i, bf16_from_f32(source[i]));
}

}  // namespace vitrine::blocks
