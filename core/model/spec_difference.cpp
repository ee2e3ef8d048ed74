#include "core/model/spec_difference.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <type_traits>
#include <vector>

namespace vitrine {
namespace {

constexpr double tolerance = 2e-6;  // relative: rotary factors are powers that two formats round at different places

bool same(double a, double b) { return a == b || std::abs(a - b) <= tolerance * std::max(std::abs(a), std::abs(b)); }

std::string text_of(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", number);
  return text;
}

/// Collects the first difference.
class Difference {
 public:
  explicit Difference(std::string place) : place_(std::move(place)) {}

  template <typename T>
  void number(const char* name, T a, T b) {
    const auto x = static_cast<double>(a), y = static_cast<double>(b);
    if (found_.empty() && !same(x, y)) found_ = place_ + name + " " + text_of(x) + " and " + text_of(y);
  }
  template <typename T>
  void number(const char* name, const std::optional<T>& a, const std::optional<T>& b) {
    number(name, a.has_value(), b.has_value());
    if (a && b) number(name, *a, *b);
  }
  void numbers(const char* name, const std::vector<float>& a, const std::vector<float>& b) {
    number(name, a.size(), b.size());
    for (std::size_t i = 0; found_.empty() && i < a.size(); ++i) number(name, a[i], b[i]);
  }
  void text(std::string found) {
    if (found_.empty()) found_ = std::move(found);
  }
  const std::string& found() const { return found_; }

 private:
  std::string place_, found_;
};

/// Ones where a rope has no factors.
std::vector<float> whole(const std::vector<float>& factors, std::size_t pairs) { return factors.empty() ? std::vector<float>(pairs, 1.0f) : factors; }

/// Those of near ones where far texts have none of their own.
std::vector<float> far_of(const AttentionSpec& attention) { return whole(attention.rope_far_factors.empty() ? attention.rope_factors : attention.rope_far_factors, attention.rope_dim / 2); }

void compare_rope(const AttentionSpec& a, const AttentionSpec& b, Difference& difference) {
  difference.number("kind of rope", static_cast<int>(a.rope), static_cast<int>(b.rope));
  if (a.rope == RopeKind::none) return;
  difference.number("rotating part of a head", a.rope_dim, b.rope_dim);
  difference.number("rope theta", a.rope_theta, b.rope_theta);
  difference.number("rope magnitude", a.rope_magnitude, b.rope_magnitude);
  difference.numbers("rope factors", whole(a.rope_factors, a.rope_dim / 2), whole(b.rope_factors, b.rope_dim / 2));
  const std::vector<float> far_a = far_of(a), far_b = far_of(b);
  difference.numbers("rope factors of long texts", far_a, far_b);
  const bool differ = !a.rope_far_factors.empty() && !b.rope_far_factors.empty();
  if (differ) difference.number("tokens of a near rope", a.rope_near, b.rope_near);
}

void compare_attention(const AttentionSpec& a, const AttentionSpec& b, Difference& difference) {
  difference.number("heads", a.heads, b.heads);
  difference.number("key-value heads", a.kv_heads, b.kv_heads);
  difference.number("size of a head", a.head_dim, b.head_dim);
  compare_rope(a, b, difference);
  difference.number("norm of queries and keys", a.qk_norm, b.qk_norm);
  difference.number("scale of scores", a.scale, b.scale);
  difference.number("cap of scores", a.soft_cap, b.soft_cap);
  difference.number("window", a.window, b.window);
  difference.number("mask", static_cast<int>(a.mask), static_cast<int>(b.mask));
  difference.numbers("slopes by distance", a.distance_slopes, b.distance_slopes);
  difference.number("buckets of distances", a.distance_buckets.has_value(), b.distance_buckets.has_value());
  if (a.distance_buckets && b.distance_buckets) {
    difference.number("buckets of distances", a.distance_buckets->count, b.distance_buckets->count);
    difference.number("furthest distance", a.distance_buckets->furthest, b.distance_buckets->furthest);
    difference.number("distances on both sides", a.distance_buckets->both_sides, b.distance_buckets->both_sides);
  }
  difference.number("relative attention", a.relative.has_value(), b.relative.has_value());
  if (a.relative && b.relative) difference.number("furthest relative distance", a.relative->furthest, b.relative->furthest);
}

std::string block_difference(const BlockSpec& a, const BlockSpec& b, const std::string& place) {
  Difference difference(place);
  compare_attention(a.attention, b.attention, difference);
  difference.number("cross attention", a.cross.has_value(), b.cross.has_value());
  if (a.cross && b.cross) compare_attention(*a.cross, *b.cross, difference);
  difference.number("width of the MLP", a.mlp.width, b.mlp.width);
  difference.number("gate of the MLP", a.mlp.gated, b.mlp.gated);
  difference.number("activation", static_cast<int>(a.mlp.activation), static_cast<int>(b.mlp.activation));
  difference.number("experts", a.mlp.experts, b.mlp.experts);
  difference.number("experts of a row", a.mlp.experts_per_row, b.mlp.experts_per_row);
  difference.number("kind of norm", static_cast<int>(a.norm), static_cast<int>(b.norm));
  difference.number("placement of norms", static_cast<int>(a.placement), static_cast<int>(b.placement));
  difference.number("epsilon of norms", a.norm_epsilon, b.norm_epsilon);
  return difference.found();
}

void compare_heads(const ModelSpec& a, const ModelSpec& b, Difference& difference) {
  difference.number("a head", a.has_head, b.has_head);
  difference.number("cap of logits", a.logit_soft_cap, b.logit_soft_cap);
  if (a.has_head && b.has_head) difference.number("scale of what the head multiplies", a.head_scale, b.head_scale);
  difference.number("a transform before the head", a.head_transform.has_value(), b.head_transform.has_value());
  if (a.head_transform && b.head_transform) {
    difference.number("width of the head's transform", a.head_transform->width, b.head_transform->width);
    difference.number("norm of the head's transform", a.head_transform->norm_epsilon, b.head_transform->norm_epsilon);
  }
  difference.number("a readout", a.readout.has_value(), b.readout.has_value());
  if (!a.readout || !b.readout) return;
  difference.number("rows of the readout", static_cast<int>(a.readout->rows), static_cast<int>(b.readout->rows));
  difference.number("labels", a.readout->labels, b.readout->labels);
  difference.number("a layer before labels", a.readout->dense.has_value(), b.readout->dense.has_value());
}

}  // namespace

std::string spec_difference(const ModelSpec& a, const ModelSpec& b) {
  Difference difference("");
  difference.number("width", a.width, b.width);
  difference.number("blocks", a.blocks.size(), b.blocks.size());
  difference.number("encoders", a.encoder.size(), b.encoder.size());
  difference.number("a final norm", a.final_norm, b.final_norm);
  difference.number("a norm of embeddings", a.embedding_norm, b.embedding_norm);
  difference.number("token types", a.token_types, b.token_types);
  difference.number("width of embeddings", a.token_width(), b.token_width());
  difference.number("a second stream of queries", a.query_stream, b.query_stream);
  difference.number("learned positions", a.learned_positions, b.learned_positions);
  difference.number("table of positions", static_cast<int>(a.position_table), static_cast<int>(b.position_table));
  difference.number("first position", a.position_offset, b.position_offset);
  difference.number("a token without position", a.uncounted_token, b.uncounted_token);
  difference.number("scale of embeddings", a.embedding_scale, b.embedding_scale);
  difference.number("positions behind the projection", a.projection_first, b.projection_first);
  // A GGUF with labels says by its pooling that they are read off the first row.
  const bool labels = a.readout && b.readout && a.readout->labels > 0;
  if (!labels) difference.number("pooling", static_cast<int>(a.pooling), static_cast<int>(b.pooling));
  compare_heads(a, b, difference);
  if (!difference.found().empty()) return difference.found();
  for (std::size_t i = 0; i < a.blocks.size(); ++i) {
    if (std::string found = block_difference(a.blocks[i], b.blocks[i], "block " + std::to_string(i) + ": "); !found.empty()) return found;
  }
  for (std::size_t i = 0; i < a.encoder.size(); ++i) {
    if (std::string found = spec_difference(a.encoder[i], b.encoder[i]); !found.empty()) return "encoder: " + found;
  }
  return {};
}

}  // namespace vitrine
