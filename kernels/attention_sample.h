#pragma once

#include <cstdint>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/attention.h"
#include "core/tensor/tensor.h"

namespace vitrine {

/// Causal attention of the last `q_len` of `kv_len` positions.
struct AttentionShape {
  std::size_t heads, kv_heads, head_dim, q_len, kv_len;
  DType kv = DType::f32;  ///< of keys and values
};

/// What the scores of a sample hold besides the product.
enum class SampleTerms {
  none,
  slopes,     ///< ALiBi
  table,      ///< 257 distances, as T5's buckets up to 128 make
  allowed,    ///< bits, of which half are set
  positions,  ///< XLNet's, without segments
};

/// Multiplications and additions that the visible keys need: 2 of each number for the scores, 2 for the values. What a
/// kernel does behind the mask counts for nothing.
double useful_operations(const AttentionShape& shape);

/// A problem of normally distributed numbers, for timing kernels.
class AttentionSample {
 public:
  explicit AttentionSample(const AttentionShape& shape, SampleTerms terms = SampleTerms::none, std::uint32_t seed = 1);

  const AttentionShape& shape() const { return shape_; }
  /// Bytes of keys and values.
  std::size_t cache_bytes() const { return k_.bytes().size() + v_.bytes().size(); }
  AttentionProblem problem() { return rows(0, shape_.q_len, out_.floats().data()); }
  /// The same for a kernel of this rule, with what explains it: normalizers, thresholds, the vector of additive scores.
  AttentionProblem problem(const PatternRule& rule);
  /// Keys and values of one head as f32, [kv_len, head_dim].
  std::vector<float> keys(std::size_t kv_head) const { return head_of(k_, kv_head); }
  std::vector<float> values(std::size_t kv_head) const { return head_of(v_, kv_head); }
  /// Query rows [begin, begin + count) as a problem of their own. @param out  [count, heads, head_dim]
  AttentionProblem rows(std::size_t begin, std::size_t count, float* out) const;
  /// What the kernel made, [q_len, heads, head_dim].
  std::span<const float> out() const { return out_.floats(); }

 private:
  void make_terms(SampleTerms terms, std::uint32_t seed);
  std::vector<float> head_of(const Tensor& rows, std::size_t kv_head) const;

  AttentionShape shape_;
  Tensor q_, k_, v_, out_, normalizer_, threshold_, additive_;
  std::vector<float> numbers_;        // of the terms
  std::vector<std::uint64_t> bits_;
  ScoreRule terms_;                   // looks at them
};

/// A kernel with a problem and the scratch memory that it wants, to be called many times.
class AttentionRun {
 public:
  AttentionRun(KernelChoice choice, const AttentionProblem& problem, ThreadPool& pool);
  void operator()();

 private:
  KernelChoice choice_;
  AttentionProblem problem_;
  ThreadPool& pool_;
  std::size_t bytes_;
  Tensor scratch_;
};

}  // namespace vitrine
