#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/thread_pool.h"
#include "core/model/attention.h"
#include "core/model/spec.h"
#include "core/tensor/tensor.h"

namespace vitrine {

enum class Precision {
  fast,   ///< bfloat16 products of many rows where the CPU has them, 16-bit whole numbers for few
  exact,  ///< f32
  int8,   ///< as fast, but 8-bit whole numbers for many rows of coarse products, one scale for every 32 numbers
};
constexpr std::string_view precision_name(Precision precision) {
  return precision == Precision::fast ? "fast" : precision == Precision::exact ? "exact" : "int8";
}

/// A weight with its optional bias ([1, out] f32 numbers or null) and where its result goes.
struct Product {
  const Weight* weight = nullptr;  ///< [out, in]
  const Weight* bias = nullptr;    ///< [1, out]
  TensorView<float, 2> out;        ///< [rows, out], rows may be strided
  bool coarse = false;             ///< 8 bits will do under Precision::int8: no softmax is taken of what it makes
};

/// A row that an expert takes, and which of the row's choices the expert is.
struct TakenRow {
  std::uint32_t row, place;
};

/// (a - b) / (log a - log b), which is a where both are equal: between two softmaxes, the weight by which a score's change counts.
/// 0 where either logarithm is -inf.
double logarithmic_mean(double log_a, double log_b);

/// What flows back through attention, z [q_len, heads, head_dim] being d f / d out for a number f that depends on it. Between two problems
/// that differ in nothing but q, k and v the results are secants: z . (out - out') is the sum of q . (q - q'), k . (k - k') and
/// v . (v - v'), by the mean of both factors of a product and, for a softmax, by its Jacobian at the logarithmic means of both weights.
/// Of a problem and itself they are derivatives.
struct AttentionAdjoint {
  const AttentionProblem& problem;  ///< after the kernel ran; keys and values in f32
  const AttentionProblem& other;
  const PatternRule& rule;
  TensorView<const float, 3> z;     ///< [q_len, heads, head_dim]
  TensorView<float, 3> q;           ///< [q_len, heads, head_dim], written
  TensorView<float, 3> k, v;        ///< [kv_len, kv_heads, head_dim], dense, added to
  TensorView<float, 3> pattern{};   ///< [q_len, heads, kv_len] of the weights, for masked keys too; may be empty
  TensorView<float, 3> scores{};    ///< [q_len, heads, kv_len] of the scores, 0 where masked; may be empty
};

/// The arithmetic of the forward pass. core declares it, kernels define it, a tape may decorate it: every number that the pass
/// computes is written by a call of these, or told by wrote().
/// All rows are independent: the result of a row does not depend, in exact precision not even in its last bit, on how
/// many rows come with it nor on the number of threads. Inputs and outputs never overlap unless said.
class Ops {
 public:
  virtual ~Ops() = default;
  virtual Precision precision() const = 0;
  virtual ThreadPool& pool() = 0;

  /// out_p = x * weight_p^T + bias_p for products that share their input (q, k, v; gate, up).
  /// @param x  [rows, in]
  virtual void multiply(TensorView<const float, 2> x, std::span<const Product> products) = 0;

  struct Norm {
    NormKind kind;
    float epsilon;
    const Weight* weight;  ///< [1, width] or null
    const Weight* bias;    ///< or null
  };
  /// @param x, out  [rows, width]
  /// @param scale   [rows, 1] denominators (sqrt(var + eps) or rms), or empty
  virtual void normalize(const Norm& norm, TensorView<const float, 2> x, TensorView<float, 2> out, TensorView<float, 2> scale) = 0;

  /// out = x * gain, column by column: what a norm's weight does after its denominator, in every bit. out may be x.
  /// @param gain  [1, width] or null
  virtual void scale_columns(const Weight* gain, TensorView<const float, 2> x, TensorView<float, 2> out) = 0;

  /// Rotates the leading rope_dim numbers of each head, by the angles of the spec's near or far factors. out may be x.
  /// @param x, out      [rows, heads, head_dim]
  /// @param positions   [rows]
  virtual void rotate(const AttentionSpec& spec, RopeReach reach, std::span<const std::uint32_t> positions,
                      TensorView<const float, 3> x, TensorView<float, 3> out) = 0;

  /// out = activation(pre), or activation(pre) * linear where linear is not empty. out may be pre.
  virtual void activate(Activation activation, TensorView<const float, 2> pre, TensorView<const float, 2> linear,
                        TensorView<float, 2> out) = 0;

  /// x = cap * tanh(x / cap).
  virtual void soft_cap(float cap, TensorView<float, 2> x) = 0;

  /// x = factor * x.
  virtual void scale(float factor, TensorView<float, 2> x) = 0;

  /// out = a + b; out may be a or b.
  virtual void add(TensorView<const float, 2> a, TensorView<const float, 2> b, TensorView<float, 2> out) = 0;

  /// Row `ids[i]` of the table into row i of out, as f32 times `scale`.
  virtual void gather(const Weight& table, std::span<const std::int32_t> ids, float scale, TensorView<float, 2> out) = 0;

  /// Row `rows[i]` of x into row i of out.
  virtual void select(TensorView<const float, 2> x, std::span<const std::size_t> rows, TensorView<float, 2> out) = 0;

  /// The mean of all rows, summed in double. @param out  [1, width]
  virtual void mean(TensorView<const float, 2> x, TensorView<float, 2> out) = 0;

  /// Of every row. @param x, out  [rows, width]
  virtual void softmax(TensorView<const float, 2> x, TensorView<float, 2> out) = 0;

  /// What each chosen expert weighs among those chosen: weights[r, places[r, i]] over the sum of these.
  /// @param weights         [rows, experts]
  /// @param places, shares  [rows, chosen]
  virtual void share(TensorView<const float, 2> weights, TensorView<const float, 2> places, TensorView<float, 2> shares) = 0;

  /// out[r] = the sum of shares[r, place] * x[i] over the places i of `taken` that are of row r, in their order.
  /// @param x    [taken, width] what the experts put out
  /// @param out  [rows, width]
  virtual void mix(TensorView<const float, 2> x, std::span<const TakenRow> taken, TensorView<const float, 2> shares, TensorView<float, 2> out) = 0;

  /// Tells that these numbers were written by other means, from nothing that depends on the text's embeddings.
  virtual void wrote(TensorView<const float, 2> /*numbers*/) {}

  /// Runs the kernel. @throws Error where it compares others and they differ
  /// @param scratch  what the kernel asked for
  virtual void attend(const KernelChoice& kernel, std::span<const AttentionProblem> problems, std::span<std::byte> scratch) = 0;

  /// Of which head, in which rows of a problem.
  struct HeadTile {
    const AttentionProblem& problem;
    std::size_t head, row;
  };
  /// out = weights x values, by which somebody replaced what the kernel made. @param weights  [rows, kv_len]
  virtual void weigh_values(const HeadTile& tile, TensorView<const float, 2> weights) = 0;

  /// Turns each head by the normalised Hadamard matrix, which is its own inverse: block after block of hadamard_size rows
  /// (core/model/kv_format.h). out may be x.
  /// @param x, out  [rows, heads, head_dim], head_dim dense
  virtual void hadamard(TensorView<const float, 3> x, TensorView<float, 3> out) = 0;

  /// Rows to another type (f32, f16, bf16, q8_0, q4_1): the KV cache. `target` row i starts at target + i * target_row_bytes;
  /// a row that ends inside a block repeats its last number there. A block with an infinity or NaN comes back as NaN.
  /// Returns whether every finite number has a finite place in that type (f16: up to 65,504).
  virtual bool store(TensorView<const float, 2> rows, DType type, std::byte* target, std::size_t target_row_bytes) = 0;

  /// A tile of one head's map, of the pattern rule that the kernel applied. May be called by several threads at once.
  struct MapRows {
    const AttentionProblem& problem;  ///< after the kernel ran, with its normalizer
    const PatternRule& rule;
    std::size_t head, row;            ///< first query row of the tile
    bool scores;                      ///< before the softmax (-inf where masked), else the weights
  };
  /// @param tile  [rows, kv_len]
  virtual void map_rows(const MapRows& rows, TensorView<float, 2> tile) = 0;

  /// Natural log-softmax of one row at one column, summed in double: logits[target] - logsumexp(logits).
  virtual double log_probability(std::span<const float> logits, std::size_t target) = 0;

  /// out = g * weight, which takes what flows back into a product's result to its input. Sums in an order of their own for each
  /// number of rows. @param g  [rows, out features]  @param out  [rows, in]
  virtual void multiply_transposed(TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) = 0;

  /// @throws Error where the rule has no derivative
  virtual void attention_adjoint(const AttentionAdjoint& adjoint) = 0;

  /// The instruction set and matrix-product implementation in use, for people ("AVX3_ZEN4, oneDNN 2.6 avx512_core_bf16").
  virtual std::string describe() const = 0;
};

}  // namespace vitrine
