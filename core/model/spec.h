#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vitrine {

enum class NormKind { layer, rms };
/// pre: x + f(norm(x)). post: norm(x + f(x)), BERT. parallel (GPT-J): x + attn(norm(x)) + mlp(norm(x)).
enum class NormPlacement { pre, post, parallel };
enum class Activation { gelu_erf, gelu_tanh, silu, relu };
enum class RopeKind { none, half, interleaved };  ///< rotate (i, i + d/2), or (2i, 2i + 1)
enum class Mask { none, causal };                 ///< none = bidirectional
enum class Pooling { none, mean, cls, last };

/// What a block's attention computes. Every size counts numbers of a head or heads.
struct AttentionSpec {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  RopeKind rope = RopeKind::none;
  std::size_t rope_dim = 0;         ///< leading part of a head that rotates
  float rope_theta = 10000.0f;
  std::vector<float> rope_factors;  ///< divides the angle of pair i; empty = ones
  float scale = 0.0f;               ///< of q·k
  float soft_cap = 0.0f;            ///< 0 = none
  std::size_t window = 0;           ///< 0 = none
  Mask mask = Mask::causal;
};

struct MlpSpec {
  std::size_t width = 0;
  bool gated = false;
  Activation activation = Activation::silu;
};

struct BlockSpec {
  AttentionSpec attention;
  MlpSpec mlp;
  NormKind norm = NormKind::rms;
  NormPlacement placement = NormPlacement::pre;
  float norm_epsilon = 1e-5f;
};

/// A model as data. One forward pass reads it; an architecture file only fills it in.
struct ModelSpec {
  std::string architecture;  ///< name in the architecture table
  std::string name;          ///< the model's own, for people
  std::size_t width = 0;     ///< of the residual stream, d_model
  std::size_t vocabulary = 0;
  std::size_t context = 0;   ///< longest position; 0 = no limit in the model
  std::vector<BlockSpec> blocks;
  bool final_norm = true;
  bool has_head = true;      ///< false: no logits (a bare encoder)
  bool embedding_norm = false;
  std::size_t token_types = 0;  ///< rows of the segment embedding, 0 = none
  bool learned_positions = false;
  float embedding_scale = 1.0f;
  Pooling pooling = Pooling::none;  ///< how a sentence embedding is made of the rows

  /// Whether rows see only what stands before them: such a model has a cache and goes in chunks.
  bool causal() const { return blocks.front().attention.mask == Mask::causal; }
};

}  // namespace vitrine
