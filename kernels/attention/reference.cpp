#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/half.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

// The definition, row by row with double accumulation: the other kernels are tested against it.

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) { return rule_without_options("reference", options); }

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  return refuse_cache_types(problem);
}

float number(const KvView& view, std::size_t row, std::size_t head, std::size_t d) {
  const std::byte* data = view.row(row, head);
  if (view.type == DType::f32) return reinterpret_cast<const float*>(data)[d];
  return f32_from_f16(reinterpret_cast<const std::uint16_t*>(data)[d]);
}

std::size_t longest(std::span<const AttentionProblem> problems) {
  std::size_t longest = 0;
  for (const AttentionProblem& problem : problems) longest = std::max(longest, problem.k.kv_len);
  return longest;
}

/// Scores of one row (as doubles in `weight`), then its weights; returns the log-sum-exp.
double weights_of(const AttentionProblem& p, std::size_t i, std::size_t h, double* weight) {
  const std::size_t kv_head = h / (p.q.extent(1) / p.k.kv_heads);
  double top = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (std::size_t j = 0; j < p.k.kv_len; ++j) {
    weight[j] = -std::numeric_limits<double>::infinity();
    if (!visible(p.score, {}, p.q_start + i, j)) continue;
    double dot = 0.0;
    for (std::size_t d = 0; d < p.q.extent(2); ++d)
      dot += static_cast<double>(p.q(i, h, d)) * number(p.k, j, kv_head, d);
    const double score = dot * p.score.scale, cap = p.score.soft_cap;
    weight[j] = cap > 0.0 ? cap * std::tanh(score / cap) : score;
    top = std::max(top, weight[j]);
  }
  if (std::isinf(top)) {  // no visible key: a row of zeros
    std::fill_n(weight, p.k.kv_len, 0.0);
    return top;
  }
  for (std::size_t j = 0; j < p.k.kv_len; ++j) sum += weight[j] = std::exp(weight[j] - top);
  for (std::size_t j = 0; j < p.k.kv_len; ++j) weight[j] /= sum;
  return top + std::log(sum);
}

RowStats stats_of(const AttentionProblem& p, std::size_t i, const double* weight) {
  double entropy = 0.0, distance = 0.0;
  for (std::size_t j = 0; j < p.k.kv_len; ++j) {
    if (weight[j] > 0.0) entropy -= weight[j] * std::log(weight[j]);
    distance += weight[j] * std::fabs(static_cast<double>(p.q_start + i) - static_cast<double>(j));
  }
  return {static_cast<float>(entropy), static_cast<float>(distance), static_cast<float>(weight[0])};
}

void run_row(const AttentionProblem& p, std::size_t i, std::size_t h, double* weight) {
  const double log_sum = weights_of(p, i, h, weight);
  const std::size_t kv_head = h / (p.q.extent(1) / p.k.kv_heads);
  for (std::size_t d = 0; d < p.out.extent(2); ++d) {
    double value = 0.0;
    for (std::size_t j = 0; j < p.k.kv_len; ++j) {
      if (weight[j] != 0.0) value += weight[j] * number(p.v, j, kv_head, d);
    }
    p.out(i, h, d) = static_cast<float>(value);
  }
  if (!p.normalizer.empty()) p.normalizer(i, h) = static_cast<float>(log_sum);
  if (!p.stats.empty()) p.stats(i, h) = stats_of(p, i, weight);
}

void run(const KernelCall& call) {
  const std::size_t row_numbers = longest(call.problems);
  for (const AttentionProblem& problem : call.problems) {
    call.pool.run(problem.q.extent(0), [&](std::size_t i, std::size_t worker) {
      double* weight = reinterpret_cast<double*>(call.scratch.data()) + worker * row_numbers;
      for (std::size_t h = 0; h < problem.q.extent(1); ++h) run_row(problem, i, h, weight);
    });
  }
}

}  // namespace

const AttentionKernel& attention_kernel_reference() {
  static const AttentionKernel kernel{"reference",
                                      "the definition, row by row, double accumulation",
                                      "Vaswani et al. 2017, arXiv:1706.03762",
                                      "cpu",
                                      1e-6f,
                                      rule,
                                      refuses,
                                      [](std::span<const AttentionProblem> problems, const KernelOptions&,
                                         std::size_t threads) { return longest(problems) * threads * sizeof(double); },
                                      run};
  return kernel;
}

}  // namespace vitrine
