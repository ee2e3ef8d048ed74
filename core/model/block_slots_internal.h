#pragma once

#include <cstddef>

#include "core/model/attention.h"
#include "core/tensor/tensor_view.h"

// Where BlockPass keeps what, shared by the files that define it. A query stream keeps its own behind all others.

namespace vitrine {

// Slots of the workspace. Two streams take turns, so that an output never lies over its input.
enum Slot : std::size_t {
  stream_a, stream_b, position_rows, type_rows, normed, normed_raw, norm_scale, qkv, attention_z, normalizer, threshold,
  row_stats, attention_scratch, module_out, mid, mid_normed, gate, up, activated, mlp_result, final_rows, last_residual,
  cross_q, cross_kv, cross_mid, cross_normed, distance_sines, distance_keys, qk_normed, qk_normed_raw, qk_norm_scale, module_normed, router, expert_choice,
  expert_rows, expert_out,
};

constexpr std::size_t query_slots = 64;

inline TensorView<float, 3> as_heads(TensorView<float, 2> rows, std::size_t heads, std::size_t head_dim) {
  return {rows.data(), {rows.extent(0), heads, head_dim}, {rows.stride(0), head_dim, 1}};
}

inline TensorView<float, 2> columns(TensorView<float, 2> rows, std::size_t begin, std::size_t count) {
  return {rows.data() + begin, {rows.extent(0), count}, {rows.stride(0), 1}};
}

inline KvView view_of(TensorView<const float, 3> rows) {
  return {.type = DType::f32,
          .rows = reinterpret_cast<const std::byte*>(rows.data()),
          .row_bytes = static_cast<std::ptrdiff_t>(rows.stride(0) * sizeof(float)),
          .head_bytes = static_cast<std::ptrdiff_t>(rows.stride(1) * sizeof(float)),
          .kv_len = rows.extent(0),
          .kv_heads = rows.extent(1),
          .head_dim = rows.extent(2)};
}

}  // namespace vitrine
