#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "kernels/ops/adjoints.h"
#include "kernels/ops/library_product.h"
#include "kernels/pattern/pattern.h"
#include "kernels/pattern/score_terms.h"

// With A = softmax(S), S = cap(scale * P + bias), P = Q K^T (and terms by distance), Z = A V, and G that flows back into Z:
//   dV = A^T G,  dA = G V^T,  dS = A * (dA - rowsum(A * dA)),  dP = scale * cap'(S) * dS,  dQ = dP K,  dK = dP^T Q
// Between two problems each factor of a product is replaced by its mean, A within dS by logarithmic means L (and the row sum by that
// over sum(L)), cap' by its secant: all are what they replace where both problems are one.

namespace vitrine {

namespace {

constexpr std::size_t tile_rows = 32;
constexpr float masked = -std::numeric_limits<float>::infinity();

/// Rows of one head's map, [rows, keys].
struct Tile {
  std::vector<float> raw;          // scores before the cap
  std::vector<float> log_weights;  // -inf where masked

  void resize(std::size_t numbers) {
    raw.resize(std::max(raw.size(), numbers));
    log_weights.resize(std::max(log_weights.size(), numbers));
  }
};

struct Scratch {
  LibraryProduct product;
  Tile own, other;
  std::vector<float> q, k, v, g, flow, weights, turned, sums;
};

struct TilePlace {
  std::size_t head, row, rows, keys;
};

class GroupAdjoint {
 public:
  GroupAdjoint(const AttentionAdjoint& adjoint, std::size_t kv_head, Scratch& scratch)
      : adjoint_(adjoint), problem_(adjoint.problem), pair_(&adjoint.problem != &adjoint.other), kv_head_(kv_head),
        dim_(problem_.k.head_dim), scratch_(scratch) {
    mean_rows(problem_.k, adjoint.other.k, scratch_.k);
    mean_rows(problem_.v, adjoint.other.v, scratch_.v);
  }

  void run() {
    const std::size_t group = problem_.q.extent(1) / problem_.k.kv_heads, count = problem_.q.extent(0);
    for (std::size_t head = kv_head_ * group; head < (kv_head_ + 1) * group; ++head) {
      for (std::size_t row = 0; row < count; row += tile_rows) run_tile(head, row, std::min(tile_rows, count - row));
    }
  }

 private:
  /// Keys or values of the head, dense; the mean of both problems'.
  void mean_rows(const KvView& own, const KvView& other, std::vector<float>& rows) const {
    rows.resize(own.kv_len * dim_);
    for (std::size_t j = 0; j < own.kv_len; ++j) {
      const auto *a = reinterpret_cast<const float*>(own.row(j, kv_head_)), *b = reinterpret_cast<const float*>(other.row(j, kv_head_));
      for (std::size_t d = 0; d < dim_; ++d) rows[j * dim_ + d] = pair_ ? (a[d] + b[d]) / 2 : a[d];
    }
  }

  void run_tile(std::size_t head, std::size_t row, std::size_t rows) {
    const bool all = problem_.score.mask != Mask::causal || !adjoint_.pattern.empty() || !adjoint_.scores.empty();
    const TilePlace at{head, row, rows, all ? problem_.k.kv_len : std::min(problem_.k.kv_len, problem_.q_start + row + rows)};
    score(problem_, at, scratch_.own);
    if (pair_) score(adjoint_.other, at, scratch_.other);
    flow_to_weights(at);
    flow_to_values(at);
    flow_to_scores(at);
    flow_to_factors(at);
  }

  void score(const AttentionProblem& problem, const TilePlace& at, Tile& tile) {
    const ScoreRule& rule = problem.score;
    tile.resize(at.rows * at.keys);
    load_queries(problem, problem, at);
    const auto* keys = reinterpret_cast<const float*>(problem.k.row(0, kv_head_));
    scratch_.product.rows_by_rows({scratch_.q.data(), dim_, at.rows}, {keys, static_cast<std::size_t>(problem.k.row_bytes) / sizeof(float), at.keys},
                                  dim_, {tile.raw.data(), at.keys, at.rows});
    for (std::size_t i = 0; i < at.rows; ++i) {
      const std::size_t row = at.row + i;
      const RowMask mask(rule, adjoint_.rule, problem.q_start, row, problem.k.kv_len);
      float *raw = tile.raw.data() + i * at.keys, *finished = tile.log_weights.data() + i * at.keys;
      const float threshold = adjoint_.rule.kind == PatternKind::softmax_top_k ? problem.threshold(row, at.head) : masked;
      for (std::size_t j = 0; j < at.keys; ++j) {
        finished[j] = masked;
        if (!mask.sees(j)) continue;
        const ScorePlace place{at.head, row, problem.q_start + row, j};
        double product = raw[j];
        if (!rule.content.empty()) product += content_terms(rule, {&problem.q(row, at.head, 0), dim_}, place);
        raw[j] = static_cast<float>(rule.scale * product + bias_at(rule, place));
        const float value = rule.soft_cap > 0.0f ? rule.soft_cap * std::tanh(raw[j] / rule.soft_cap) : raw[j];
        if (!(value < threshold)) finished[j] = value;
      }
      normalize({finished, at.keys});
    }
  }

  static void normalize(std::span<float> scores) {
    const float top = *std::ranges::max_element(scores);
    if (std::isinf(top)) return;
    double sum = 0.0;
    for (const float score : scores) sum += std::exp(score - top);
    const auto log_sum = static_cast<float>(top + std::log(sum));
    for (float& score : scores) score -= log_sum;
  }

  /// Queries as they meet the keys, the mean of two problems' (or those of one).
  void load_queries(const AttentionProblem& a, const AttentionProblem& b, const TilePlace& at) {
    scratch_.q.resize(std::max(scratch_.q.size(), tile_rows * dim_));
    for (std::size_t i = 0; i < at.rows; ++i) {
      const std::span<const float> of_a{&a.q(at.row + i, at.head, 0), dim_}, of_b{&b.q(at.row + i, at.head, 0), dim_};
      for (std::size_t d = 0; d < dim_; ++d) {
        const float number = key_query(a.score.content, at.head, of_a, d);
        scratch_.q[i * dim_ + d] = &a == &b ? number : (number + key_query(b.score.content, at.head, of_b, d)) / 2;
      }
    }
  }

  /// dA = G V^T into `flow`.
  void flow_to_weights(const TilePlace& at) {
    scratch_.g.resize(std::max(scratch_.g.size(), tile_rows * dim_));
    scratch_.flow.resize(std::max(scratch_.flow.size(), at.rows * at.keys));
    for (std::size_t i = 0; i < at.rows; ++i) std::copy_n(&adjoint_.z(at.row + i, at.head, 0), dim_, scratch_.g.data() + i * dim_);
    scratch_.product.rows_by_rows({scratch_.g.data(), dim_, at.rows}, {scratch_.v.data(), dim_, at.keys}, dim_, {scratch_.flow.data(), at.keys, at.rows});
    keep(adjoint_.pattern, at);
  }

  void keep(TensorView<float, 3> map, const TilePlace& at) const {
    for (std::size_t i = 0; i < at.rows && !map.empty(); ++i) std::copy_n(scratch_.flow.data() + i * at.keys, at.keys, &map(at.row + i, at.head, 0));
  }

  /// dV += A^T G.
  void flow_to_values(const TilePlace& at) {
    turn(at, [&](std::size_t place) {
      const float own = std::exp(scratch_.own.log_weights[place]);
      return pair_ ? (own + std::exp(scratch_.other.log_weights[place])) / 2 : own;
    });
    add_turned(at, scratch_.g.data(), adjoint_.v);
  }

  /// dS in the place of dA.
  void flow_to_scores(const TilePlace& at) {
    for (std::size_t i = 0; i < at.rows; ++i) {
      const float *own = scratch_.own.log_weights.data() + i * at.keys, *other = pair_ ? scratch_.other.log_weights.data() + i * at.keys : own;
      float* flow = scratch_.flow.data() + i * at.keys;
      scratch_.weights.resize(std::max(scratch_.weights.size(), at.keys));
      double sum = 0.0, flowing = 0.0;
      for (std::size_t j = 0; j < at.keys; ++j) {
        const double weight = pair_ ? logarithmic_mean(own[j], other[j]) : std::exp(own[j]);
        scratch_.weights[j] = static_cast<float>(weight);
        sum += weight;
        flowing += weight * flow[j];
      }
      const double mean = sum > 0.0 ? flowing / sum : 0.0;
      for (std::size_t j = 0; j < at.keys; ++j) flow[j] = static_cast<float>(scratch_.weights[j] * (flow[j] - mean));
    }
    keep(adjoint_.scores, at);
  }

  /// dP in the place of dS, then dQ and dK.
  void flow_to_factors(const TilePlace& at) {
    const ScoreRule& rule = problem_.score;
    for (std::size_t place = 0; place < at.rows * at.keys; ++place) {
      scratch_.flow[place] *= std::isinf(scratch_.own.log_weights[place]) ? 0.0f : rule.scale * cap_slope(place);
    }
    scratch_.sums.resize(std::max(scratch_.sums.size(), tile_rows * dim_));
    scratch_.product.rows_by_columns({scratch_.flow.data(), at.keys, at.rows}, {scratch_.k.data(), dim_, at.keys}, dim_, {scratch_.sums.data(), dim_, at.rows});
    for (std::size_t i = 0; i < at.rows; ++i) {
      std::copy_n(scratch_.sums.data() + i * dim_, dim_, &adjoint_.q(at.row + i, at.head, 0));
      if (!rule.content.empty()) add_content(at, i);
    }
    load_queries(problem_, adjoint_.other, at);
    turn(at, [&](std::size_t place) { return scratch_.flow[place]; });
    add_turned(at, scratch_.q.data(), adjoint_.k);
  }

  float cap_slope(std::size_t place) const {
    const float cap = problem_.score.soft_cap;
    if (cap <= 0.0f) return 1.0f;
    const double a = scratch_.own.raw[place] / cap, b = pair_ ? scratch_.other.raw[place] / cap : a, middle = std::tanh((a + b) / 2);
    if (std::abs(a - b) < 1e-3) return static_cast<float>(1.0 - middle * middle);
    return static_cast<float>((std::tanh(a) - std::tanh(b)) / (a - b));
  }

  /// What a query meets besides keys: the projected distance and the segment.
  void add_content(const TilePlace& at, std::size_t i) const {
    const ScoreRule& rule = problem_.score;
    const ContentByDistance& content = rule.content;
    const std::size_t row = at.row + i;
    for (std::size_t j = 0; j < at.keys; ++j) {
      const float flow = scratch_.flow[i * at.keys + j];
      if (flow == 0.0f) continue;
      const std::size_t entry = nearest_entry(rule.distance(problem_.q_start + row, j), content.first, content.r.extent(0));
      const std::size_t segment = content.has_segments() && content.query_segment[row] != content.key_segment[j] ? 1 : 0;
      for (std::size_t d = 0; d < dim_; ++d) {
        adjoint_.q(row, at.head, d) += flow * (content.r(entry, at.head, d) + (content.has_segments() ? content.segment(segment, at.head, d) : 0.0f));
      }
    }
  }

  /// `turned` [keys, rows] = number(place in [rows, keys])
  template <class Number>
  void turn(const TilePlace& at, const Number& number) {
    scratch_.turned.resize(std::max(scratch_.turned.size(), at.rows * at.keys));
    for (std::size_t i = 0; i < at.rows; ++i) {
      for (std::size_t j = 0; j < at.keys; ++j) scratch_.turned[j * at.rows + i] = number(i * at.keys + j);
    }
  }

  /// target [keys, kv_heads, d] += turned [keys, rows] * by [rows, d]
  void add_turned(const TilePlace& at, const float* by, TensorView<float, 3> target) {
    scratch_.sums.resize(std::max(scratch_.sums.size(), at.keys * dim_));
    scratch_.product.rows_by_columns({scratch_.turned.data(), at.rows, at.keys}, {by, dim_, at.rows}, dim_, {scratch_.sums.data(), dim_, at.keys});
    for (std::size_t j = 0; j < at.keys; ++j) {
      for (std::size_t d = 0; d < dim_; ++d) target(j, kv_head_, d) += scratch_.sums[j * dim_ + d];
    }
  }

  const AttentionAdjoint& adjoint_;
  const AttentionProblem& problem_;
  bool pair_;
  std::size_t kv_head_, dim_;
  Scratch& scratch_;
};

void require_derivative(const AttentionAdjoint& adjoint) {
  const PatternKind kind = adjoint.rule.kind;
  const bool softmax = kind == PatternKind::softmax || kind == PatternKind::softmax_top_k || kind == PatternKind::softmax_blocks;
  if (!softmax || adjoint.rule.bf16_factors || !adjoint.problem.score.additive.empty()) {
    throw Error({"gradient of attention", "a kernel that takes a softmax of f32 scores", "another rule", "use --kernel reference or flash"}, Fault::usage);
  }
  if (kind == PatternKind::softmax_top_k && &adjoint.problem != &adjoint.other) {
    throw Error({"difference of two texts' attention", "a kernel that shows both the same keys", "top_k", "use --kernel reference or flash"}, Fault::usage);
  }
  VITRINE_CHECK(adjoint.problem.k.type == DType::f32 && adjoint.problem.v.type == DType::f32);
}

}  // namespace

void attention_adjoint(ThreadPool& pool, const AttentionAdjoint& adjoint) {
  require_derivative(adjoint);
  pool.run(adjoint.problem.k.kv_heads, [&](std::size_t kv_head, std::size_t) {
    static thread_local Scratch scratch;  // its primitives are made once for each shape
    GroupAdjoint(adjoint, kv_head, scratch).run();
  });
}

}  // namespace vitrine
