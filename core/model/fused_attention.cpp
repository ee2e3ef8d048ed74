#include "core/model/fused_attention.h"

#include <bit>
#include <cmath>

namespace vitrine {

void take_from_fused(FusedOrder order, const AttentionSpec& attention, Role role, TensorRule& rule) {
  if (role != Role::attn_q && role != Role::attn_k && role != Role::attn_v) return;
  const std::size_t dim = attention.head_dim, q_rows = attention.heads * dim, kv_rows = attention.kv_heads * dim;
  const std::size_t place = role == Role::attn_q ? 0 : role == Role::attn_k ? 1 : 2;
  rule.rows = place == 0 ? q_rows : kv_rows;
  rule.fused_rows = q_rows + 2 * kv_rows;
  if (order == FusedOrder::apart) {
    rule.first_row = place == 0 ? 0 : q_rows + (place - 1) * kv_rows;
  } else if (order == FusedOrder::by_group) {
    const std::size_t queries = q_rows / attention.kv_heads;
    rule.first_row = place == 0 ? 0 : queries + (place - 1) * dim;
    rule.run = place == 0 ? queries : dim;
    rule.period = queries + 2 * dim;
  } else {
    rule.first_row = place;
    rule.run = 1;
    rule.period = 3;
  }
}

std::vector<float> alibi_slopes(std::size_t heads) {
  const std::size_t whole = std::bit_floor(heads);
  const auto slope = [](std::size_t power, std::size_t of) { return static_cast<float>(std::exp2(-8.0 * static_cast<double>(power) / static_cast<double>(of))); };
  std::vector<float> slopes;
  for (std::size_t i = 0; i < whole; ++i) slopes.push_back(slope(i + 1, whole));
  for (std::size_t i = 0; slopes.size() < heads; ++i) slopes.push_back(slope(2 * i + 1, 2 * whole));
  return slopes;
}

}  // namespace vitrine
