#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/model/ops.h"

namespace vitrine {

/// Rows of the plain operations, vectorised. Results of a row depend on that row and the instruction set alone.

/// One row of a norm; `scale` (one number) may be null.
struct NormRow {
  const float* x;
  const float* gain;   ///< [width] or null
  const float* shift;  ///< [width] or null
  float* out;
  float* scale;
  std::size_t width;
};
void normalize_row(NormKind kind, float epsilon, const NormRow& row);

/// out = activation(pre) (* linear where it is not null); all [count], out may be pre.
void activate_row(Activation activation, std::span<const float> pre, const float* linear, float* out);

/// x = cap * tanh(x / cap)
void soft_cap_row(float cap, std::span<float> x);

/// out = a + b
void add_row(std::span<const float> a, const float* b, float* out);

/// Rotates the pairs of one head by the angles whose cosines and sines are given; out may be x.
/// @param cosine, sine  [pairs]
struct RotateRow {
  const float* x;
  float* out;
  const float* cosine;
  const float* sine;
  std::size_t pairs;
};
void rotate_row(RopeKind kind, const RotateRow& row);

/// To binary16, nearest even. False where a finite number is past 65,504, the largest finite half.
bool store_f16_row(std::span<const float> x, std::uint16_t* out);

/// log of the sum of exp(x), the sum in double.
double log_sum_exp(std::span<const float> x);

}  // namespace vitrine
