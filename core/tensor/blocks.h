#pragma once

#include <cstddef>

namespace vitrine::blocks {

// Plain definitions of the block formats; layouts as in ggml's ggml-common.h, rounding as in its reference quantisers.
void expand_f32(const std::byte* source, float* target, std::size_t count);
void expand_f16(const std::byte* source, float* target, std::size_t count);
void expand_bf16(const std::byte* source, float* target, std::size_t count);
void expand_f64(const std::byte* source, float* target, std::size_t count);
void expand_q8_0(const std::byte* source, float* target, std::size_t count);
void expand_q4_0(const std::byte* source, float* target, std::size_t count);
void expand_q4_1(const std::byte* source, float* target, std::size_t count);
void expand_q5_0(const std::byte* source, float* target, std::size_t count);
void expand_q5_1(const std::byte* source, float* target, std::size_t count);
void expand_q4_k(const std::byte* source, float* target, std::size_t count);
void expand_q5_k(const std::byte* source, float* target, std::size_t count);
void expand_q6_k(const std::byte* source, float* target, std::size_t count);

void compress_f32(const float* source, std::byte* target, std::size_t count);
void compress_f16(const float* source, std::byte* target, std::size_t count);
void compress_bf16(const float* source, std::byte* target, std::size_t count);
void compress_q8_0(const float* source, std::byte* target, std::size_t count);
void compress_q4_0(const float* source, std::byte* target, std::size_t count);
void compress_q4_1(const float* source, std::byte* target, std::size_t count);
void compress_q5_0(const float* source, std::byte* target, std::size_t count);
void compress_q5_1(const float* source, std::byte* target, std::size_t count);

}  // namespace vitrine::blocks
