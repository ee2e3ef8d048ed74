#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

#include "core/model/spec.h"
#include "core/tensor/tensor.h"

namespace vitrine {

/// What a weight does, by its place in the mathematics; names are the architecture's business.
enum class Role : std::uint8_t {
  token_embedding, position_embedding, type_embedding, embedding_norm, final_norm, head,
  attn_norm, attn_q, attn_k, attn_v, attn_out, mlp_norm, mlp_gate, mlp_up, mlp_down,
  cross_norm, cross_q, cross_k, cross_v, cross_out,
  embedding_projection, head_transform, head_norm, readout_dense, readout_labels,
  attn_q_norm, attn_k_norm, attn_post_norm, mlp_post_norm, mlp_router,
  attn_distance, key_bias, content_bias, segment_embedding, segment_bias,  ///< r, r_w, r_r, seg_embed, r_s of Transformer-XL and XLNet
  query_embedding,  ///< what every row of the query stream starts from
  distance_bias,  ///< in files [buckets, heads]; here [heads, distances], see core/model/distance_bias.h
};
std::string_view role_name(Role role);

struct WeightKey {
  Role role;
  int block = -1;     ///< -1 outside the blocks
  bool bias = false;
  Stack stack = Stack::only;  ///< ModelSpec::stack of the description that it belongs to
  int expert = -1;            ///< -1 where a block has one MLP for all rows
  auto operator<=>(const WeightKey&) const = default;
};

/// Weights by role and block, mapped from the file or replaced in memory. Matrices are [out, in] and q, k rows in
/// Hugging Face's order, whatever the file had.
class WeightStore {
 public:
  void put(WeightKey key, Weight weight);
  /// Null where the model has none (a bias, a separate head).
  const Weight* find(WeightKey key) const;
  /// @throws std::logic_error where there is none
  const Weight& at(WeightKey key) const;
  /// Puts a tensor of the same shape in the place of a weight (quantising, pruning, adapters, transplants).
  void replace(WeightKey key, Tensor tensor);
  const std::map<WeightKey, Weight>& all() const { return weights_; }
  /// What is stored: a head that is tied to the embedding counts once.
  std::size_t bytes() const;

 private:
  std::map<WeightKey, Weight> weights_;
};

}  // namespace vitrine
