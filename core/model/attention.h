#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/score_rule.h"
#include "core/model/spec.h"
#include "core/tensor/dtype.h"
#include "core/tensor/tensor_view.h"

namespace vitrine {

/// Keys or values of one sequence, in the type that the cache holds. Row j of head h starts at
/// rows + j * row_bytes + h * head_bytes and has head_dim numbers; of a block type whole blocks, the last filled up.
struct KvView {
  DType type = DType::f32;
  const std::byte* rows = nullptr;
  std::ptrdiff_t row_bytes = 0;
  std::ptrdiff_t head_bytes = 0;
  std::size_t kv_len = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;

  const std::byte* row(std::size_t index, std::size_t head) const {
    return rows + static_cast<std::ptrdiff_t>(index) * row_bytes + static_cast<std::ptrdiff_t>(head) * head_bytes;
  }
  /// The head_dim numbers of a row as f32.
  void expand(std::size_t index, std::size_t head, float* numbers) const;
};

/// What a row of weights is made of scores by. Closed and versioned: part of the recording's format.
enum class PatternKind : std::uint8_t { softmax = 0, softmax_top_k = 1, feature_map = 2, additive = 3, softmax_blocks = 4 };

/// What PatternKind::feature_map multiplies instead of queries and keys. Closed and versioned as PatternKind.
enum class FeatureKind : std::uint8_t {
  elu_plus_one = 0,  ///< elu(x) + 1 of each number (Katharopoulos et al. 2020)
  favor = 1,         ///< exp(w x - |x|^2 / 2) of random directions w (Choromanski et al. 2021)
};

/// Which key blocks the queries of a block see, for PatternKind::softmax_blocks. Blocks begin at position 0; the problem's
/// ScoreRule hides some of their keys besides.
struct BlockPattern {
  std::size_t size = 0;    ///< positions of a block
  std::size_t window = 0;  ///< blocks nearer than this
  std::size_t stride = 0;  ///< > 0: those whose distance is a multiple of it
  std::size_t global = 0;  ///< the first blocks are seen by all, and their queries see all
  std::size_t random = 0;  ///< so many of the others, drawn anew for each block of queries; at most 16

  bool operator==(const BlockPattern&) const = default;
};

/// The pattern that a kernel with its options really applies. `window` and `sinks` narrow the problem's ScoreRule.
struct PatternRule {
  PatternKind kind = PatternKind::softmax;
  std::size_t window = 0;
  std::size_t sinks = 0;
  std::size_t top_k = 0;
  FeatureKind feature = FeatureKind::elu_plus_one;  ///< of a feature map
  std::size_t features = 0;                         ///< how many random directions
  std::uint64_t seed = 0;                           ///< of the random directions or blocks
  bool bf16_factors = false;                        ///< queries and keys are rounded to bfloat16 before they are multiplied
  BlockPattern blocks{};
  std::size_t dense_every = 0;                      ///< > 0: layers whose number it divides see all their blocks

  bool operator==(const PatternRule&) const = default;

  /// The rule of one layer, where they differ: dense or not, with random blocks of its own.
  PatternRule in_layer(std::size_t layer) const {
    if (kind != PatternKind::softmax_blocks) return *this;
    if (dense_every > 0 && layer % dense_every == 0) return {};
    PatternRule own = *this;
    own.dense_every = 0;
    own.seed += layer;
    return own;
  }
};

/// Sums over one row of the pattern, accumulated while it is made. Entropy in nats, distance in tokens.
struct RowStats {
  float entropy = 0.0f;
  float distance = 0.0f;    ///< sum_j A[i, j] * |position - j|
  float first_key = 0.0f;   ///< A[i, 0], the usual sink
};

/// Attention of one sequence (or a piece of it).
struct AttentionProblem {
  TensorView<const float, 3> q;      ///< [q_len, heads, head_dim], rotated
  KvView k;                          ///< kv_len >= 1; heads is a multiple of kv_heads
  KvView v;
  TensorView<float, 3> out;          ///< [q_len, heads, head_dim]; a row with no visible key is zero
  TensorView<float, 2> normalizer{}; ///< [q_len, heads] log-sum-exp of the scores (-inf: no visible key); may be empty
  TensorView<RowStats, 2> stats{};   ///< [q_len, heads]; may be empty
  ScoreRule score{};
  std::size_t q_start = 0;
  TensorView<float, 2> threshold{};  ///< [q_len, heads] scores below it do not count; written under softmax_top_k; may be empty
  std::size_t layer = 0;             ///< whose attention this is: a kernel's rule may differ from layer to layer
};

/// `--kernel name:first,second,key=value`
struct KernelOptions {
  std::vector<std::string> positional;
  std::map<std::string, std::string> named;
};

/// What a kernel that compares others has to say; kernels neither throw nor print.
struct KernelReport {
  double largest_relative_difference = 0.0;
  std::string failure;  ///< not empty: the caller raises an Error with it
};

struct KernelCall {
  std::span<const AttentionProblem> problems;
  const KernelOptions& options;
  ThreadPool& pool;
  std::span<std::byte> scratch;  ///< scratch_bytes() long, 64-byte aligned
  KernelReport& report;
};

/// A way of computing attention, as plain data. Extension point: kernels/attention/<name>.cpp.
/// Bit-equal results for any number of threads and alone or in a batch.
struct AttentionKernel {
  std::string_view name;
  std::string_view summary;
  std::string_view source;  ///< paper or document
  std::string_view device;  ///< "cpu", "cuda"
  float tolerance;          ///< largest relative error against `reference` under the same rule (f32 keys and values)
  /// @throws Error on an unknown or bad option
  PatternRule (*rule)(const KernelOptions& options);
  /// Why this problem cannot be done; empty where it can.
  std::string (*refuses)(const AttentionProblem& problem, const KernelOptions& options);
  std::size_t (*scratch_bytes)(std::span<const AttentionProblem> problems, const KernelOptions& options, std::size_t threads);
  void (*run)(const KernelCall& call);
  /// With f32 keys and values (exact precision) also bit-equal for any split of the queries into calls.
  bool split_invariant = true;
  std::string_view example = "";  ///< options that tests and benchmarks run it with, where it has any
};

/// A kernel with the options the user gave.
struct KernelChoice {
  const AttentionKernel* kernel = nullptr;
  KernelOptions options;
  std::string spelled;  ///< as the user wrote it, for provenance
};

}  // namespace vitrine
