#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vitrine {

/// Of a model with one stack of blocks, or of an encoder-decoder.
enum class Stack : std::uint8_t { only, encoder, decoder };
enum class Stream : std::uint8_t { content, query };
enum class AttentionRole : std::uint8_t { self, cross };

enum class NormKind { layer, rms };
/// pre: x + f(norm(x)). post: norm(x + f(x)), BERT. sandwich (Gemma 2): x + norm(f(norm(x))).
/// parallel (GPT-NeoX): x + attn(norm1(x)) + mlp(norm2(x)). parallel_shared (Falcon 7B): the same with one norm.
enum class NormPlacement { pre, post, sandwich, parallel, parallel_shared };
inline bool is_parallel(NormPlacement placement) {
  return placement == NormPlacement::parallel || placement == NormPlacement::parallel_shared;
}
enum class Activation { gelu_erf, gelu_tanh, silu, relu, tanh };
enum class RopeKind { none, half, interleaved };  ///< rotate (i, i + d/2), or (2i, 2i + 1)
enum class RopeReach { near, far };               ///< which factors of a spec: of short texts, or of those beyond rope_near
enum class Mask { none, causal };                 ///< none = bidirectional
enum class Pooling { none, mean, cls, last };

/// Distances meet what queries hold: weights project their sines and cosines, and both terms have a bias (ContentByDistance).
struct RelativeSpec {
  std::size_t furthest = 0;  ///< > 0: greater distances count as it
};

/// Distances between key and query that share a number (T5): so many buckets, for keys before the query alone or for both sides.
struct DistanceBuckets {
  std::size_t count = 0;     ///< at least 4, even with both sides
  std::size_t furthest = 0;  ///< from here on all distances share the last bucket; more than half of a side's buckets
  bool both_sides = false;
};

/// What a block's attention computes. Every size counts numbers of a head or heads.
struct AttentionSpec {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  RopeKind rope = RopeKind::none;
  std::size_t rope_dim = 0;         ///< leading part of a head that rotates
  float rope_theta = 10000.0f;
  std::vector<float> rope_factors;  ///< divides the angle of pair i; empty = ones
  float rope_magnitude = 1.0f;      ///< times sines and cosines (YaRN, LongRoPE)
  std::vector<float> rope_far_factors;  ///< instead of rope_factors in texts of more than rope_near tokens (LongRoPE); empty: none
  std::size_t rope_near = 0;
  bool qk_norm = false;             ///< the queries and keys of each head are rms-normed before they turn (Qwen 3)
  float scale = 0.0f;               ///< of q·k
  float soft_cap = 0.0f;            ///< 0 = none
  std::size_t window = 0;           ///< 0 = none
  Mask mask = Mask::causal;
  std::vector<float> distance_slopes{};  ///< [heads] times key - query is added to scaled scores (ALiBi); empty: none
  std::optional<DistanceBuckets> distance_buckets{};  ///< a weight [buckets, heads] is (T5)
  std::optional<RelativeSpec> relative{};
};

struct MlpSpec {
  std::size_t width = 0;
  bool gated = false;
  Activation activation = Activation::silu;
  std::size_t experts = 0;          ///< > 0: so many MLPs, of which each row takes some (Mixtral); 0: one for all rows
  std::size_t experts_per_row = 0;  ///< those with the largest router logits, weighed by the softmax over these
};

struct BlockSpec {
  AttentionSpec attention;
  std::optional<AttentionSpec> cross{};  ///< over the encoder's rows, between attention and mlp
  MlpSpec mlp;
  NormKind norm = NormKind::rms;
  NormPlacement placement = NormPlacement::pre;
  float norm_epsilon = 1e-5f;
};

/// Where rows of the position table come from.
enum class PositionTable {
  file,
  sines,         ///< sin | cos of position * 10000^(-2i/width), i < width/2 (Vaswani et al. 2017, halves side by side)
  sines_to_end,  ///< of position * 10000^(-i/(width/2 - 1)) (tensor2tensor)
};

/// Between the last block and the token logits: activation(W x + b), normed (BERT's masked-language-model head), or W x alone
/// (OPT).
struct HeadTransformSpec {
  std::size_t width = 0;
  std::optional<Activation> activation = Activation::gelu_erf;
  std::optional<float> norm_epsilon = 1e-12f;  ///< of a layer norm
};

enum class ReadoutRows { every, first, last, mean, last_end };  ///< last_end: where the source's last end token stands
enum class LabelRule { softmax, sigmoid, number };             ///< number: a regression

/// What is read off a sequence besides token logits: a pooler, or labels with or without one.
struct ReadoutSpec {
  ReadoutRows rows = ReadoutRows::first;
  std::optional<Activation> dense{};   ///< activation(W x + b) [width] first
  std::size_t labels = 0;              ///< 0: a pooler alone
  std::vector<std::string> names{};    ///< [labels]
  LabelRule rule = LabelRule::softmax;
};

/// A model as data. One forward pass reads it; an architecture file only fills it in. Of an encoder-decoder it is the decoder,
/// which holds its encoder.
struct ModelSpec {
  Stack stack = Stack::only;
  std::vector<ModelSpec> encoder{};  ///< one, whose rows cross attention sees, or none
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
  std::size_t embedding_width = 0;  ///< 0: width; else a projection follows the embedding's norm
  bool query_stream = false;        ///< tokens may be predicted by rows of a second stream, which do not see them (XLNet)
  bool learned_positions = false;   ///< rows of a table are added
  PositionTable position_table = PositionTable::file;
  std::size_t position_offset = 0;  ///< row of the first position
  /// Its rows stand at position_offset - 1 and do not count as positions (RoBERTa's padding).
  std::optional<std::int32_t> uncounted_token{};
  float embedding_scale = 1.0f;
  bool projection_first = false;    ///< positions are added behind the embedding's projection (OPT), not before it (ALBERT)
  float logit_soft_cap = 0.0f;      ///< c > 0: c * tanh(logit / c)
  float head_scale = 1.0f;          ///< times the rows that the head multiplies
  std::optional<HeadTransformSpec> head_transform{};
  std::optional<ReadoutSpec> readout{};
  std::optional<std::int32_t> end_token{};  ///< that ReadoutRows::last_end means
  Pooling pooling = Pooling::none;  ///< how a sentence embedding is made of the rows

  /// Whether rows see only what stands before them: such a model has a cache and goes in chunks.
  bool causal() const { return blocks.front().attention.mask == Mask::causal && !query_stream; }
  std::size_t token_width() const { return embedding_width > 0 ? embedding_width : width; }
  /// Of what the head multiplies.
  std::size_t head_width() const { return head_transform ? head_transform->width : width; }
};

}  // namespace vitrine
