#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/pattern/features.h"

// Attention as a product of features: A[i, j] = phi(q_i) phi(k_j) / sum_j phi(q_i) phi(k_j). The sums over keys are carried
// along the text, so that the work is O(T head_dim features) and the memory does not depend on T.

namespace vitrine::feature_map {

inline std::string refuses(const AttentionProblem& problem) {
  const std::string types = refuse_cache_types(problem);
  if (!types.empty()) return types;
  if (const std::string terms = refuse_terms(problem, KnownTerms::none); !terms.empty()) return terms;
  return problem.score.window > 0 || problem.score.soft_cap > 0.0f ? "neither a window nor a cap of the scores" : "";
}

/// A worker's numbers: sums [features, head_dim + 1] (values, and a column of ones), features of a query and of a key, a row.
inline std::size_t worker_numbers(const AttentionProblem& p, const PatternRule& rule) {
  const std::size_t features = feature_count(rule, p.k.head_dim);
  return (features * (p.k.head_dim + 3) + p.k.head_dim + 15) / 16 * 16;
}

inline std::size_t most_numbers(std::span<const AttentionProblem> problems, const PatternRule& rule) {
  std::size_t most = 0;
  for (const AttentionProblem& p : problems) most = std::max(most, worker_numbers(p, rule));
  return most;
}

inline std::size_t directions_numbers(std::span<const AttentionProblem> problems, const PatternRule& rule) {
  std::size_t most = 0;
  for (const AttentionProblem& p : problems) most = std::max(most, direction_numbers(rule, p.k.head_dim));
  return (most + 15) / 16 * 16;
}

inline std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const PatternRule& rule, std::size_t threads) {
  return (directions_numbers(problems, rule) + most_numbers(problems, rule) * threads) * sizeof(float);
}

inline void read_row(const KvView& view, std::size_t row, std::size_t head, float* out) {
  dtype_info(view.type).expand(view.row(row, head), out, view.head_dim);
}

/// One key head with the queries of its group.
class HeadPass {
 public:
  HeadPass(const AttentionProblem& problem, const FeatureInput& input, std::size_t kv_head, float* scratch)
      : p_(problem), input_(input), kv_head_(kv_head), dim_(problem.k.head_dim), features_(feature_count(input.rule, dim_)) {
    sums_ = scratch;
    ones_ = sums_ + features_ * dim_;
    of_query_ = ones_ + features_;
    of_key_ = of_query_ + features_;
    row_ = of_key_ + features_;
    std::fill_n(sums_, features_ * (dim_ + 1), 0.0f);
  }

  void run() {
    const bool causal = p_.score.mask == Mask::causal;
    std::size_t keys = 0;
    for (std::size_t i = 0; i < p_.q.extent(0); ++i) {
      const std::size_t end = causal ? std::min(p_.k.kv_len, p_.q_start + i + 1) : p_.k.kv_len;
      for (; keys < end; ++keys) add_key(keys);
      const std::size_t group = p_.q.extent(1) / p_.k.kv_heads;
      for (std::size_t g = 0; g < group; ++g) answer(i, kv_head_ * group + g, end);
    }
  }

 private:
  void add_key(std::size_t j) {
    read_row(p_.k, j, kv_head_, row_);
    features_of(input_, {row_, dim_}, of_key_);
    read_row(p_.v, j, kv_head_, row_);
    for (std::size_t m = 0; m < features_; ++m) {
      const float feature = of_key_[m];
      ones_[m] += feature;
      float* sums = sums_ + m * dim_;
      for (std::size_t d = 0; d < dim_; ++d) sums[d] += feature * row_[d];
    }
  }

  void answer(std::size_t i, std::size_t h, std::size_t keys) {
    features_of(input_, {&p_.q(i, h, 0), dim_}, of_query_);
    double sum = 0.0;
    for (std::size_t m = 0; m < features_; ++m) sum += static_cast<double>(of_query_[m]) * ones_[m];
    float* out = &p_.out(i, h, 0);
    std::fill_n(out, dim_, 0.0f);
    const float share = sum > 0.0 ? static_cast<float>(1.0 / sum) : 0.0f;
    for (std::size_t m = 0; m < features_; ++m) {
      const float factor = of_query_[m] * share;
      for (std::size_t d = 0; d < dim_; ++d) out[d] += factor * sums_[m * dim_ + d];
    }
    if (!p_.normalizer.empty()) p_.normalizer(i, h) = static_cast<float>(std::log(sum));
    if (!p_.stats.empty()) p_.stats(i, h) = stats(i, sum, keys);
  }

  /// The entropy of a row needs its weights one by one, which the sums do not hold: only where somebody asks for it.
  RowStats stats(std::size_t i, double sum, std::size_t keys) {
    double entropy = 0.0, distance = 0.0, first = 0.0;
    for (std::size_t j = 0; j < keys && sum > 0.0; ++j) {
      read_row(p_.k, j, kv_head_, row_);
      features_of(input_, {row_, dim_}, of_key_);
      double weight = 0.0;
      for (std::size_t m = 0; m < features_; ++m) weight += static_cast<double>(of_query_[m]) * of_key_[m];
      weight /= sum;
      if (weight > 0.0) entropy -= weight * std::log(weight);
      distance += weight * std::fabs(static_cast<double>(p_.q_start + i) - static_cast<double>(j));
      if (j == 0) first = weight;
    }
    return {static_cast<float>(entropy), static_cast<float>(distance), static_cast<float>(first)};
  }

  const AttentionProblem& p_;
  const FeatureInput& input_;
  std::size_t kv_head_, dim_, features_;
  float *sums_, *ones_, *of_query_, *of_key_, *row_;
};

inline void run(const KernelCall& call, const PatternRule& rule) {
  float* all_directions = reinterpret_cast<float*>(call.scratch.data());
  float* buffers = all_directions + directions_numbers(call.problems, rule);
  const std::size_t numbers = most_numbers(call.problems, rule);
  for (const AttentionProblem& problem : call.problems) {
    const std::span<float> directions(all_directions, direction_numbers(rule, problem.k.head_dim));
    make_directions(rule, problem.k.head_dim, directions);
    const FeatureInput input{rule, problem.score.scale, directions};
    call.pool.run(problem.k.kv_heads, [&](std::size_t kv_head, std::size_t worker) {
      HeadPass(problem, input, kv_head, buffers + worker * numbers).run();
    });
  }
}

/// The functions of a kernel whose options `rule` reads.
template <PatternRule (*rule)(const KernelOptions&)>
struct Functions {
  static std::string refuses(const AttentionProblem& problem, const KernelOptions&) { return feature_map::refuses(problem); }
  static std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions& options, std::size_t threads) {
    return feature_map::scratch_bytes(problems, rule(options), threads);
  }
  static void run(const KernelCall& call) { feature_map::run(call, rule(call.options)); }
};

}  // namespace vitrine::feature_map
