#pragma once

#include <cstddef>
#include <cstdint>

namespace vitrine::blocks {

// Plain definitions of the block formats; layouts as in ggml's ggml-common.h. The classic types are rounded as its reference quantisers
// do, to the byte; all others by searches of our own for the least square error.
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
void expand_q2_k(const std::byte* source, float* target, std::size_t count);
void expand_q3_k(const std::byte* source, float* target, std::size_t count);
void expand_iq4_nl(const std::byte* source, float* target, std::size_t count);
void expand_iq4_xs(const std::byte* source, float* target, std::size_t count);
void expand_mxfp4(const std::byte* source, float* target, std::size_t count);
void expand_tq1_0(const std::byte* source, float* target, std::size_t count);
void expand_tq2_0(const std::byte* source, float* target, std::size_t count);
void expand_iq1_s(const std::byte* source, float* target, std::size_t count);
void expand_iq1_m(const std::byte* source, float* target, std::size_t count);
void expand_iq2_xxs(const std::byte* source, float* target, std::size_t count);
void expand_iq2_xs(const std::byte* source, float* target, std::size_t count);
void expand_iq2_s(const std::byte* source, float* target, std::size_t count);
void expand_iq3_xxs(const std::byte* source, float* target, std::size_t count);
void expand_iq3_s(const std::byte* source, float* target, std::size_t count);

/// Levels of the nibbles of IQ4_NL and IQ4_XS: denser near 0, where most weights are.
inline constexpr std::int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void compress_f32(const float* source, std::byte* target, std::size_t count);
void compress_f16(const float* source, std::byte* target, std::size_t count);
void compress_bf16(const float* source, std::byte* target, std::size_t count);
void compress_q8_0(const float* source, std::byte* target, std::size_t count);
void compress_q4_0(const float* source, std::byte* target, std::size_t count);
void compress_q4_1(const float* source, std::byte* target, std::size_t count);
void compress_q5_0(const float* source, std::byte* target, std::size_t count);
void compress_q5_1(const float* source, std::byte* target, std::size_t count);

// Least weighted square error; importance [count], or null where all numbers count the same.
void compress_weighted_q4_0(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_weighted_q4_1(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_weighted_q5_0(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_weighted_q5_1(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_q2_k(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_q3_k(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_q4_k(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_q5_k(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_q6_k(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq4_nl(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq4_xs(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_mxfp4(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_tq1_0(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_tq2_0(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq1_s(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq1_m(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq2_xxs(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq2_xs(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq2_s(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq3_xxs(const float* source, const float* importance, std::byte* target, std::size_t count);
void compress_iq3_s(const float* source, const float* importance, std::byte* target, std::size_t count);

}  // namespace vitrine::blocks
