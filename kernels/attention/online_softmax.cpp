// History, causal, 9 heads x 64, F32 cache, two threads of Zen 4: 50 ms at 512 tokens, 888 ms at 2,048, 28 and 32 times flash. One pass over
// the keys with a running maximum, plain C++: the recurrence as one reads it, and a second opinion on every other kernel.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/half.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"
#include "kernels/pattern/score_terms.h"

// One pass over the keys with a running maximum (Milakov & Gimelshein 2018), so that the row of scores is never stored.
// The compiler's vectors serve it: dot products run in eight independent sums, whose order is the same everywhere.

namespace vitrine {
namespace {

constexpr std::size_t lanes = 8;

PatternRule rule(const KernelOptions& options) { return rule_without_options("online_softmax", options); }

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const std::string types = refuse_cache_types(problem);
  return types.empty() ? refuse_terms(problem, KnownTerms::all) : types;
}

/// A row as f32: a look at the cache itself, or converted into `buffer`.
const float* row_of(const KvView& view, std::size_t row, std::size_t head, float* buffer) {
  const std::byte* data = view.row(row, head);
  if (view.type == DType::f32) return reinterpret_cast<const float*>(data);
  const auto* bits = reinterpret_cast<const std::uint16_t*>(data);
  for (std::size_t d = 0; d < view.head_dim; ++d) buffer[d] = f32_from_f16(bits[d]);
  return buffer;
}

float dot(const float* a, const float* b, std::size_t n) {
  float sums[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (std::size_t lane = 0; i < n; ++i, ++lane) sums[lane] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

struct Running {
  float top = -std::numeric_limits<float>::infinity();
  float sum = 0.0f, weighted_score = 0.0f, weighted_distance = 0.0f, first = 0.0f;
};

/// One more key of weight exp(score - top) for the row; older sums shrink where the maximum grows.
void add_key(Running& row, float score, float distance, bool first_key, const float* value, float* out, std::size_t n) {
  const float top = std::max(row.top, score);
  const float keep = row.sum > 0.0f ? std::exp(row.top - top) : 0.0f, add = std::exp(score - top);
  for (std::size_t d = 0; d < n; ++d) out[d] = out[d] * keep + value[d] * add;
  row.sum = row.sum * keep + add;
  row.weighted_score = row.weighted_score * keep + add * score;
  row.weighted_distance = row.weighted_distance * keep + add * distance;
  row.first = row.first * keep + (first_key ? add : 0.0f);
  row.top = top;
}

void finish_row(const AttentionProblem& p, std::size_t i, std::size_t h, const Running& row) {
  float* out = &p.out(i, h, 0);
  const bool none = row.sum == 0.0f;
  for (std::size_t d = 0; d < p.out.extent(2); ++d) out[d] = none ? 0.0f : out[d] / row.sum;
  const float log_sum = none ? row.top : row.top + std::log(row.sum);
  if (!p.normalizer.empty()) p.normalizer(i, h) = log_sum;
  if (p.stats.empty()) return;
  // H = -sum a log a = logsumexp - sum a * score
  p.stats(i, h) = none ? RowStats{}
                       : RowStats{std::max(0.0f, log_sum - row.weighted_score / row.sum),
                                  row.weighted_distance / row.sum, row.first / row.sum};
}

/// Query row i of head h, as it meets the keys; `buffer` behind a row of the cache.
const float* query_of(const AttentionProblem& p, std::size_t i, std::size_t h, float* buffer) {
  const std::span<const float> q(&p.q(i, h, 0), p.q.extent(2));
  if (p.score.content.empty()) return q.data();
  for (std::size_t d = 0; d < q.size(); ++d) buffer[d] = key_query(p.score.content, h, q, d);
  return buffer;
}

/// The score of a product q . k, with what the rule adds to it.
float whole_score(const AttentionProblem& p, const ScorePlace& place, float product) {
  const ScoreRule& rule = p.score;
  if (!rule.content.empty()) product += static_cast<float>(content_terms(rule, {&p.q(place.row, place.head, 0), p.q.extent(2)}, place));
  const float score = rule.scale * product + static_cast<float>(bias_at(rule, place));
  return rule.soft_cap > 0.0f ? rule.soft_cap * std::tanh(score / rule.soft_cap) : score;
}

void run_row(const AttentionProblem& p, std::size_t i, std::size_t h, float* buffer) {
  const std::size_t n = p.q.extent(2), kv_head = h / (p.q.extent(1) / p.k.kv_heads), position = p.q_start + i;
  const std::size_t end = p.score.mask == Mask::causal ? std::min(p.k.kv_len, position + 1) : p.k.kv_len;
  const float* q = query_of(p, i, h, buffer + n);
  float* out = &p.out(i, h, 0);
  std::fill_n(out, n, 0.0f);
  Running row;
  for (std::size_t j = 0; j < end; ++j) {
    if (!visible(p.score, {}, position, j) || !is_allowed(p.score, i, j)) continue;
    const float score = whole_score(p, {h, i, position, j}, dot(q, row_of(p.k, j, kv_head, buffer), n));
    if (std::isinf(score) && score < 0) continue;  // a bias may hide a key
    const auto distance = static_cast<float>(j > position ? j - position : position - j);
    add_key(row, score, distance, j == 0, row_of(p.v, j, kv_head, buffer), out, n);
  }
  finish_row(p, i, h, row);
}

std::size_t buffer_numbers(std::span<const AttentionProblem> problems) {
  std::size_t widest = 0;
  for (const AttentionProblem& problem : problems) widest = std::max(widest, problem.k.head_dim);
  return (2 * widest + 15) / 16 * 16;
}

void run(const KernelCall& call) {
  const std::size_t numbers = buffer_numbers(call.problems);
  for (const AttentionProblem& problem : call.problems) {
    call.pool.run(problem.q.extent(0), [&](std::size_t i, std::size_t worker) {
      float* buffer = reinterpret_cast<float*>(call.scratch.data()) + worker * numbers;
      for (std::size_t h = 0; h < problem.q.extent(1); ++h) run_row(problem, i, h, buffer);
    });
  }
}

}  // namespace

const AttentionKernel& attention_kernel_online_softmax() {
  static const AttentionKernel kernel{
      "online_softmax",
      "one pass over the keys, no row of scores",
      "Milakov & Gimelshein 2018, arXiv:1805.02867",
      "cpu",
      1e-5f,
      rule,
      refuses,
      [](std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
        return buffer_numbers(problems) * threads * sizeof(float);
      },
      run};
  return kernel;
}

}  // namespace vitrine
