#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/tensor/tensor.h"
#include "core/model/kv_format.h"
#include "kernels/kernels.h"
#include "kernels/ops/kv_rows.h"

namespace vitrine {

/// A kernel with options, in a layer.
struct Choice : KernelChoice {
  std::size_t layer = 1;

  PatternRule rule() const { return kernel->rule(options).in_layer(layer); }
};

inline Choice chosen(const std::string& spelled, std::size_t layer = 1) { return {choose_attention_kernel(spelled), layer}; }

inline void PrintTo(const Choice& choice, std::ostream* stream) { *stream << choice.spelled << " in layer " << choice.layer; }

/// Every kernel of the table with its example, and what other options make of them.
inline std::vector<Choice> all_choices() {
  std::vector<Choice> choices;
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->device == "cuda" && !cuda_missing().empty()) continue;
    choices.push_back(chosen(std::string(kernel->name) + ":" + std::string(kernel->example)));
  }
  for (const char* spelled : {"sliding_window:window=1", "streaming:sinks=1,window=1", "top_k:k=1", "top_k:k=100000",
                              "block_sparse:pattern=banded,block=16,window=2", "block_sparse:pattern=banded,block=7,window=1,stride=3",
                              "block_sparse:pattern=banded,block=1,window=5", "block_sparse:pattern=banded,block=64,window=100",
                              "block_sparse:pattern=bigbird,block=8,window=1,global=2,random=16,seed=9"}) {
    choices.push_back(chosen(spelled));
  }
  choices.push_back(chosen("block_sparse:pattern=banded,block=16,window=1,dense_every=2", 0));
  choices.push_back(chosen("block_sparse:pattern=banded,block=16,window=1,dense_every=2", 1));
  return choices;
}

/// What stands in the scores besides the product.
struct Terms {
  std::size_t distances = 0;     ///< of a table of biases; 0: none
  std::ptrdiff_t first = 0;      ///< distance of its first column, and of the first position
  float bias_size = 1.0f;
  bool hides = false;            ///< every third entry of the table is -inf
  bool slope = false;
  bool allowed = false;          ///< about half of the keys, and none for some queries
  std::size_t positions = 0;     ///< of scores in which the distance meets the query; 0: none
  bool segments = false;         ///< with positions
  bool operator==(const Terms&) const = default;
};

struct Shape {
  std::size_t heads = 4, kv_heads = 2, head_dim = 24, q_len = 20, kv_len = 80;
  DType kv = DType::f32;
  ScoreRule score{};
  std::size_t behind = 0;                             ///< the queries stand so much behind the last key
  float q_size = 1.0f, k_size = 1.0f, v_size = 1.0f;  ///< of the numbers, which are normal
  bool equal_keys = false;                            ///< all scores of a row are the same
  double slack = 1.0;                                 ///< how much larger errors may be: large scores amplify their own rounding
  Terms terms{};
};

inline void PrintTo(const Shape& shape, std::ostream* stream) {
  *stream << shape.heads << "/" << shape.kv_heads << " heads of " << shape.head_dim << ", " << shape.q_len << " x "
          << shape.kv_len << " " << dtype_info(shape.kv).name << (shape.score.mask == Mask::causal ? " causal" : "")
          << " window " << shape.score.window << " sinks " << shape.score.sinks << " cap " << shape.score.soft_cap << " sizes "
          << shape.q_size << " " << shape.k_size << " " << shape.v_size << (shape.equal_keys ? " equal keys" : "") << " behind " << shape.behind << ", biases "
          << shape.terms.distances << " from " << shape.terms.first << " times " << shape.terms.bias_size << (shape.terms.hides ? " hiding" : "")
          << (shape.terms.slope ? " slope" : "") << (shape.terms.allowed ? " allowed" : "") << " positions " << shape.terms.positions
          << (shape.terms.segments ? " segments" : "");
}

/// Random factors and poisoned outputs of one problem.
struct Data {
  Shape shape;
  std::vector<float> q, k, v, additive, out, normalizer, threshold;
  std::vector<std::byte> k_stored, v_stored;  // where the cache is not f32
  std::vector<RowStats> stats;
  std::vector<float> table, slope, r, term_biases, segment;  // term_biases: u, w and s [heads, head_dim]
  std::vector<std::int32_t> query_segment, key_segment;
  std::vector<std::uint64_t> allowed;

  explicit Data(const Shape& wanted, unsigned seed = 1) : shape(wanted) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    const auto fill = [&](std::vector<float>& numbers, std::size_t count, float size) {
      numbers.resize(count);
      for (float& number : numbers) number = size * normal(random);
    };
    const std::size_t width = shape.kv_heads * shape.head_dim;
    fill(q, shape.q_len * shape.heads * shape.head_dim, shape.q_size);
    fill(k, shape.kv_len * width, shape.k_size);
    fill(v, shape.kv_len * width, shape.v_size);
    fill(additive, shape.head_dim, 1.0f);
    const Terms& terms = shape.terms;
    const std::size_t q_width = shape.heads * shape.head_dim;
    fill(table, shape.heads * terms.distances, terms.bias_size);
    for (std::size_t i = 0; terms.hides && i < table.size(); i += 3) table[i] = -std::numeric_limits<float>::infinity();
    fill(r, terms.positions * q_width, 1.0f);
    fill(term_biases, 3 * q_width, 1.0f);
    fill(segment, 2 * q_width, 1.0f);
    for (std::size_t h = 0; terms.slope && h < shape.heads; ++h) slope.push_back(std::exp2(-8.0f * static_cast<float>(h + 1) / static_cast<float>(shape.heads)));
    for (std::size_t i = 0; i < shape.q_len; ++i) query_segment.push_back(static_cast<std::int32_t>(random() % 3));
    for (std::size_t j = 0; j < shape.kv_len; ++j) key_segment.push_back(static_cast<std::int32_t>(random() % 3));
    for (std::size_t i = 0; terms.allowed && i < shape.q_len * BitView::words_of(shape.kv_len); ++i) {
      const std::uint64_t bits = static_cast<std::uint64_t>(random()) << 32 | random();
      allowed.push_back(i / BitView::words_of(shape.kv_len) % 5 == 3 ? 0 : bits);
    }
    for (std::size_t i = width; shape.equal_keys && i < k.size(); ++i) k[i] = k[i - width];
    if (shape.kv != DType::f32) {
      round(k, k_stored);
      round(v, v_stored);
    }
    const float poison = std::numeric_limits<float>::quiet_NaN();
    out.assign(q.size(), poison);
    normalizer.assign(shape.q_len * shape.heads, poison);
    threshold.assign(normalizer.size(), poison);
    stats.assign(normalizer.size(), RowStats{poison, poison, poison});
  }

  /// For a kernel that takes additive scores, one that has them.
  AttentionProblem problem(const Choice& choice) {
    const Shape& s = shape;
    AttentionProblem made{.q = {q.data(), {s.q_len, s.heads, s.head_dim}},
                          .k = view(k, k_stored),
                          .v = view(v, v_stored),
                          .out = {out.data(), {s.q_len, s.heads, s.head_dim}},
                          .normalizer = {normalizer.data(), {s.q_len, s.heads}},
                          .stats = {stats.data(), {s.q_len, s.heads}},
                          .score = s.score};
    made.score.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
    made.q_start = s.behind + (s.kv_len >= s.q_len ? s.kv_len - s.q_len : 0);
    made.layer = choice.layer;
    add_terms(made.score);
    const PatternKind kind = choice.rule().kind;
    if (kind == PatternKind::additive) made.score.additive = additive;
    if (kind == PatternKind::softmax_top_k) made.threshold = {threshold.data(), {s.q_len, s.heads}};
    return made;
  }

 private:
  void add_terms(ScoreRule& score) const {
    const Shape& s = shape;
    const std::size_t width = s.heads * s.head_dim;
    if (s.terms.distances > 0) score.by_distance.table = {table.data(), {s.heads, s.terms.distances}};
    score.by_distance.first = s.terms.first;
    score.by_distance.slope = slope;
    if (s.terms.allowed) score.allowed = {allowed.data(), s.q_len, s.kv_len, BitView::words_of(s.kv_len), 0};
    if (s.terms.positions == 0) return;
    score.content = {.r = {r.data(), {s.terms.positions, s.heads, s.head_dim}},
                     .first = s.terms.first,
                     .key_bias = {term_biases.data(), {s.heads, s.head_dim}},
                     .distance_bias = {term_biases.data() + width, {s.heads, s.head_dim}}};
    if (!s.terms.segments) return;
    score.content.segment = {segment.data(), {2, s.heads, s.head_dim}};
    score.content.segment_bias = {term_biases.data() + 2 * width, {s.heads, s.head_dim}};
    score.content.query_segment = query_segment;
    score.content.key_segment = key_segment;
  }

  std::size_t head_bytes() const { return row_bytes(shape.kv, kv_head_numbers(shape.kv, shape.head_dim)); }

  /// Numbers to those that the cache stands for.
  void round(std::vector<float>& numbers, std::vector<std::byte>& stored) const {
    const std::size_t rows = numbers.size() / shape.head_dim;
    stored.resize(rows * head_bytes());
    for (float& number : numbers) number = std::clamp(number, -65504.0f, 65504.0f);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::span<const float> row(numbers.data() + r * shape.head_dim, shape.head_dim);
      std::byte* target = stored.data() + r * head_bytes();
      dtype_info(shape.kv).quantized ? void(store_block_row(shape.kv, row, target)) : dtype_info(shape.kv).compress(row.data(), target, row.size());
    }
    const KvView held = view(numbers, stored);
    for (std::size_t r = 0; r < rows; ++r) held.expand(r / shape.kv_heads, r % shape.kv_heads, numbers.data() + r * shape.head_dim);
  }

  KvView view(const std::vector<float>& numbers, const std::vector<std::byte>& stored) const {
    const auto bytes = static_cast<std::ptrdiff_t>(head_bytes());
    const void* data = shape.kv == DType::f32 ? static_cast<const void*>(numbers.data()) : stored.data();
    return {.type = shape.kv,
            .rows = static_cast<const std::byte*>(data),
            .row_bytes = bytes * static_cast<std::ptrdiff_t>(shape.kv_heads),
            .head_bytes = bytes,
            .kv_len = shape.kv_len,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim};
  }
};

inline bool does(const Choice& choice, const AttentionProblem& problem) { return choice.kernel->refuses(problem, choice.options).empty(); }

/// Some rows of a problem, whose keys end with the last of them.
inline AttentionProblem piece_of(AttentionProblem problem, std::size_t first, std::size_t count) {
  problem.q = problem.q.slice(first, count);
  problem.out = problem.out.slice(first, count);
  problem.normalizer = problem.normalizer.slice(first, count);
  problem.stats = problem.stats.slice(first, count);
  if (!problem.threshold.empty()) problem.threshold = problem.threshold.slice(first, count);
  problem.q_start += first;
  problem.k.kv_len = problem.v.kv_len = problem.q_start + count;  // later keys are not there yet
  problem.score = problem.score.of_rows(first, count).of_keys(0, problem.k.kv_len);
  return problem;
}

/// Runs it with poisoned scratch, exactly as long as it asks for.
inline void run(const Choice& choice, std::span<const AttentionProblem> problems, std::size_t threads = 2) {
  ThreadPool pool(threads, initialize_worker);
  const std::size_t bytes = choice.kernel->scratch_bytes(problems, choice.options, threads);
  Tensor scratch(DType::f32, {bytes / sizeof(float) + 1});
  std::memset(scratch.bytes().data(), 0xff, scratch.bytes().size());  // NaN
  KernelReport report;
  choice.kernel->run({problems, choice.options, pool, scratch.bytes().first(bytes), report});
  ASSERT_EQ(report.failure, "");
}

inline double relative_error(const std::vector<float>& values, const std::vector<float>& expected) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isinf(expected[i]) && values[i] == expected[i]) continue;
    difference += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / std::max(size, 1e-30));
}

}  // namespace vitrine
