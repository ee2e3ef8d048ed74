#include "core/model/weights.h"

#include <array>
#include <set>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {

std::string_view role_name(Role role) {
  static constexpr std::array<std::string_view, 37> names{
      "token_embedding", "position_embedding", "type_embedding", "embedding_norm", "final_norm",
      "head",            "attn_norm",          "attn_q",         "attn_k",         "attn_v",
      "attn_out",        "mlp_norm",           "mlp_gate",       "mlp_up",         "mlp_down",
      "cross_norm",      "cross_q",            "cross_k",        "cross_v",        "cross_out",
      "embedding_projection", "head_transform", "head_norm",     "readout_dense",  "readout_labels",
      "attn_q_norm",     "attn_k_norm",     "attn_post_norm", "mlp_post_norm",  "mlp_router",
      "attn_distance",   "key_bias",           "content_bias",   "segment_embedding", "segment_bias",   "query_embedding",
      "distance_bias"};
  return names[static_cast<std::size_t>(role)];
}

void WeightStore::put(WeightKey key, Weight weight) { weights_.insert_or_assign(key, std::move(weight)); }

const Weight* WeightStore::find(WeightKey key) const {
  const auto found = weights_.find(key);
  return found == weights_.end() ? nullptr : &found->second;
}

const Weight& WeightStore::at(WeightKey key) const {
  const Weight* weight = find(key);
  VITRINE_CHECK(weight != nullptr);
  return *weight;
}

void WeightStore::replace(WeightKey key, Tensor tensor) {
  const Weight& old = at(key);
  Weight fresh = make_weight(std::move(tensor));
  VITRINE_CHECK(fresh.rows == old.rows && fresh.cols == old.cols);
  put(key, std::move(fresh));
}

std::size_t WeightStore::bytes() const {
  std::set<const void*> seen;
  std::size_t sum = 0;
  for (const auto& [key, weight] : weights_) sum += seen.insert(place_of(weight)).second ? stored_bytes(weight) : 0;
  return sum;
}

}  // namespace vitrine
