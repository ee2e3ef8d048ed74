// History, causal, 9 heads x 64, F32 cache, two threads of Zen 4: 72 ms at 512 tokens, 40 times flash. It is the definition in double, a query
// and a key at a time, and stays that: others are checked against it. Nothing was tried to make it faster.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"
#include "kernels/pattern/score_terms.h"

// The definition, row by row with double accumulation: the other kernels are tested against it.

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) { return rule_without_options("reference", options); }

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const std::string types = refuse_cache_types(problem, CacheTypes::blocks_too);
  return types.empty() ? refuse_terms(problem, KnownTerms::all) : types;
}

/// What one worker works in.
struct Buffers {
  double* weight;  // [kv_len]
  double* sums;    // [head_dim]
  float* row;      // [head_dim], of the cache
};

std::size_t worker_doubles(std::span<const AttentionProblem> problems) {
  std::size_t most = 0;
  for (const AttentionProblem& problem : problems) most = std::max(most, problem.k.kv_len + 2 * problem.k.head_dim);
  return most;
}

/// Scores of one row (as doubles in `weight`), then its weights; returns the log-sum-exp.
double weights_of(const AttentionProblem& p, std::size_t i, std::size_t h, const Buffers& buffers) {
  double* weight = buffers.weight;
  const std::span<const float> q(&p.q(i, h, 0), p.q.extent(2));
  const std::size_t kv_head = h / (p.q.extent(1) / p.k.kv_heads);
  double top = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (std::size_t j = 0; j < p.k.kv_len; ++j) {
    weight[j] = -std::numeric_limits<double>::infinity();
    if (!visible(p.score, {}, p.q_start + i, j) || !is_allowed(p.score, i, j)) continue;
    const ScorePlace place{h, i, p.q_start + i, j};
    double dot = 0.0;
    p.k.expand(j, kv_head, buffers.row);
    for (std::size_t d = 0; d < q.size(); ++d) dot += static_cast<double>(key_query(p.score.content, h, q, d)) * buffers.row[d];
    if (!p.score.content.empty()) dot += content_terms(p.score, q, place);
    const double score = dot * p.score.scale + bias_at(p.score, place), cap = p.score.soft_cap;
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

void run_row(const AttentionProblem& p, std::size_t i, std::size_t h, const Buffers& buffers) {
  const double log_sum = weights_of(p, i, h, buffers);
  const std::size_t kv_head = h / (p.q.extent(1) / p.k.kv_heads), dim = p.out.extent(2);
  std::fill_n(buffers.sums, dim, 0.0);
  for (std::size_t j = 0; j < p.k.kv_len; ++j) {
    if (buffers.weight[j] == 0.0) continue;
    p.v.expand(j, kv_head, buffers.row);
    for (std::size_t d = 0; d < dim; ++d) buffers.sums[d] += buffers.weight[j] * buffers.row[d];
  }
  for (std::size_t d = 0; d < dim; ++d) p.out(i, h, d) = static_cast<float>(buffers.sums[d]);
  if (!p.normalizer.empty()) p.normalizer(i, h) = static_cast<float>(log_sum);
  if (!p.stats.empty()) p.stats(i, h) = stats_of(p, i, buffers.weight);
}

void run(const KernelCall& call) {
  const std::size_t doubles = worker_doubles(call.problems);
  for (const AttentionProblem& problem : call.problems) {
    call.pool.run(problem.q.extent(0), [&](std::size_t i, std::size_t worker) {
      double* weight = reinterpret_cast<double*>(call.scratch.data()) + worker * doubles;
      double* sums = weight + problem.k.kv_len;
      const Buffers buffers{weight, sums, reinterpret_cast<float*>(sums + problem.k.head_dim)};
      for (std::size_t h = 0; h < problem.q.extent(1); ++h) run_row(problem, i, h, buffers);
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
                                         std::size_t threads) { return worker_doubles(problems) * threads * sizeof(double); },
                                      run};
  return kernel;
}

}  // namespace vitrine
