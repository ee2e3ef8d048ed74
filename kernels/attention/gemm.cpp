// History, causal, 9 heads x 64, F32 cache, two threads of Zen 4: 17 ms at 512 tokens, 279 ms at 2,048, 9.5 and 10 times flash. Both
// products run at the library's speed (oneDNN, 229 of 234 GFLOP/s on large matrices), but the whole matrix is computed and kept. It
// shows what materialising costs.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "kernels/ops/library_product.h"
#include "kernels/pattern/pattern.h"
#include "kernels/pattern/score_terms.h"

// What frameworks did before blocked kernels: the whole matrix of scores of a head through a library's matrix product, a
// softmax over its rows, another product. Memory grows with the square of the text.

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) { return rule_without_options("gemm", options); }

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  const std::string types = refuse_cache_types(problem);
  return types.empty() ? refuse_terms(problem, KnownTerms::all) : types;
}

constexpr std::size_t aligned(std::size_t numbers) { return (numbers + 15) / 16 * 16; }

/// Entries of the table of positions that the distances of a problem meet: [first, first + count).
struct Entries {
  std::size_t first, count;
};

Entries entries_of(const AttentionProblem& p) {
  if (p.score.content.empty()) return {0, 0};
  const auto entry = [&](std::size_t row, std::size_t key) {
    return nearest_entry(p.score.distance(p.q_start + row, key), p.score.content.first, p.score.content.r.extent(0));
  };
  const std::size_t first = entry(p.q.extent(0) - 1, 0);
  return {first, entry(0, p.k.kv_len - 1) + 1 - first};
}

/// Numbers of a worker: scores [q_len, kv_len], keys and values [kv_len, head_dim] as f32; where the distance meets the query
/// also the products with positions [q_len, entries] and queries [q_len, head_dim].
std::size_t worker_numbers(std::span<const AttentionProblem> problems) {
  std::size_t most = 0;
  for (const AttentionProblem& p : problems) {
    const std::size_t rows = p.q.extent(0), extra = p.score.content.empty() ? 0 : aligned(rows * entries_of(p).count) + aligned(rows * p.k.head_dim);
    most = std::max(most, aligned(rows * p.k.kv_len) + 2 * aligned(p.k.kv_len * p.k.head_dim) + extra);
  }
  return most;
}

/// The rows of one head as f32: those of the cache, or expanded into `buffer`.
DenseRows<const float> rows_of(const KvView& view, std::size_t head, float* buffer) {
  if (view.type == DType::f32) {
    return {reinterpret_cast<const float*>(view.row(0, head)), static_cast<std::size_t>(view.row_bytes) / sizeof(float), view.kv_len};
  }
  for (std::size_t j = 0; j < view.kv_len; ++j) dtype_info(view.type).expand(view.row(j, head), buffer + j * view.head_dim, view.head_dim);
  return {buffer, view.head_dim, view.kv_len};
}

/// Scores to weights of one row.
void softmax(const AttentionProblem& p, std::size_t i, std::size_t h, float* row) {
  const std::size_t position = p.q_start + i, keys = p.k.kv_len;
  float top = -std::numeric_limits<float>::infinity();
  for (std::size_t j = 0; j < keys; ++j) {
    const float score = row[j] * p.score.scale + static_cast<float>(bias_at(p.score, {h, i, position, j})), cap = p.score.soft_cap;
    row[j] = visible(p.score, {}, position, j) && is_allowed(p.score, i, j) ? (cap > 0.0f ? cap * std::tanh(score / cap) : score)
                                               : -std::numeric_limits<float>::infinity();
    top = std::max(top, row[j]);
  }
  const bool none = std::isinf(top) && top < 0;
  double sum = 0.0, weighted_score = 0.0, distance = 0.0;
  for (std::size_t j = 0; j < keys; ++j) {
    const float score = row[j], weight = none ? 0.0f : std::exp(score - top);
    row[j] = weight;
    sum += static_cast<double>(weight);
    if (weight > 0.0f) weighted_score += static_cast<double>(weight) * static_cast<double>(score);
    distance += static_cast<double>(weight) * std::fabs(static_cast<double>(position) - static_cast<double>(j));
  }
  const double log_sum = none ? static_cast<double>(top) : static_cast<double>(top) + std::log(sum);
  const float share = none ? 0.0f : static_cast<float>(1.0 / sum);
  for (std::size_t j = 0; j < keys; ++j) row[j] *= share;
  if (!p.normalizer.empty()) p.normalizer(i, h) = static_cast<float>(log_sum);
  if (p.stats.empty()) return;
  p.stats(i, h) = none ? RowStats{}  // H = logsumexp - sum a * score
                       : RowStats{static_cast<float>(std::max(0.0, log_sum - weighted_score / sum)), static_cast<float>(distance / sum), row[0]};
}

/// Query rows of a head with a bias added, [q_len, head_dim].
void add_to_queries(const AttentionProblem& p, std::size_t h, TensorView<const float, 2> bias, float* out) {
  const std::size_t dim = p.k.head_dim;
  for (std::size_t i = 0; i < p.q.extent(0); ++i) {
    for (std::size_t d = 0; d < dim; ++d) out[i * dim + d] = p.q(i, h, d) + bias(h, d);
  }
}

/// (q + s) . segment of one query.
std::array<float, 2> segment_terms(const AttentionProblem& p, std::size_t i, std::size_t h) {
  const ContentByDistance& content = p.score.content;
  std::array<double, 2> sums{};
  for (std::size_t d = 0; d < p.k.head_dim && content.has_segments(); ++d) {
    const double q = p.q(i, h, d) + content.segment_bias(h, d);
    for (std::size_t which = 0; which < 2; ++which) sums[which] += q * content.segment(which, h, d);
  }
  return {static_cast<float>(sums[0]), static_cast<float>(sums[1])};
}

/// Adds what the distances make of the queries to the products of one head. @param extra  the worker's numbers behind the values
void add_content(const AttentionProblem& p, std::size_t h, LibraryProduct& product, float* scores, float* extra) {
  const ContentByDistance& content = p.score.content;
  const std::size_t rows = p.q.extent(0), keys = p.k.kv_len, dim = p.k.head_dim;
  const Entries used = entries_of(p);
  float* queries = extra + aligned(rows * used.count);
  add_to_queries(p, h, content.distance_bias, queries);
  product.rows_by_rows({queries, dim, rows}, {&content.r(used.first, h, 0), content.r.stride(0), used.count}, dim, {extra, used.count, rows});
  for (std::size_t i = 0; i < rows; ++i) {
    const std::array<float, 2> segment = segment_terms(p, i, h);
    for (std::size_t j = 0; j < keys; ++j) {
      const std::size_t entry = nearest_entry(p.score.distance(p.q_start + i, j), content.first, content.r.extent(0)) - used.first;
      const std::size_t other = content.has_segments() && content.query_segment[i] != content.key_segment[j] ? 1 : 0;
      scores[i * keys + j] += extra[i * used.count + entry] + segment[other];
    }
  }
}

void run_head(const AttentionProblem& p, std::size_t h, float* scratch) {
  static thread_local LibraryProduct product;  // its primitives are made once for each shape
  const std::size_t dim = p.k.head_dim, keys = p.k.kv_len, rows = p.q.extent(0), kv_head = h / (p.q.extent(1) / p.k.kv_heads);
  float* scores = scratch;
  float* buffers = scratch + aligned(rows * keys);
  const DenseRows<const float> k = rows_of(p.k, kv_head, buffers), v = rows_of(p.v, kv_head, buffers + aligned(keys * dim));
  DenseRows<const float> q{&p.q(0, h, 0), p.q.stride(0), rows};
  float* extra = buffers + 2 * aligned(keys * dim);
  if (!p.score.content.empty()) {
    float* queries = extra + aligned(rows * entries_of(p).count);
    add_to_queries(p, h, p.score.content.key_bias, queries);
    q = {queries, dim, rows};
  }
  product.rows_by_rows(q, k, dim, {scores, keys, rows});
  if (!p.score.content.empty()) add_content(p, h, product, scores, extra);
  for (std::size_t i = 0; i < rows; ++i) softmax(p, i, h, scores + i * keys);
  product.rows_by_columns({scores, keys, rows}, v, dim, {&p.out(0, h, 0), p.out.stride(0), rows});
}

void run(const KernelCall& call) {
  const std::size_t numbers = worker_numbers(call.problems);
  for (const AttentionProblem& problem : call.problems) {
    call.pool.run(problem.q.extent(1), [&](std::size_t h, std::size_t worker) {
      run_head(problem, h, reinterpret_cast<float*>(call.scratch.data()) + worker * numbers);
    });
  }
}

}  // namespace

const AttentionKernel& attention_kernel_gemm() {
  static const AttentionKernel kernel{"gemm",
                                      "the whole matrix of scores through a library's products (memory grows with the square)",
                                      "Vaswani et al. 2017, arXiv:1706.03762; oneDNN matmul",
                                      "cpu",
                                      1e-5f,
                                      rule,
                                      refuses,
                                      [](std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
                                        return worker_numbers(problems) * threads * sizeof(float);
                                      },
                                      run,
                                      false};
  return kernel;
}

}  // namespace vitrine
