#include <dnnl_version.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/base/error.h"
#include "core/model/kv_format.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"
#include "kernels/ops/adjoints.h"
#include "kernels/ops/dense.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/kv_rows.h"
#include "kernels/ops/products.h"
#include "kernels/ops/rope_table.h"

namespace vitrine {
namespace {

constexpr std::size_t rows_apiece = 16;  // of the cheap operations, in one piece of work

/// The numbers of a [1, cols] weight where they lie, or expanded into the buffer; null where there is none.
const float* numbers_of(const Weight* weight, std::vector<float>& buffer) {
  if (!weight) return nullptr;
  if (weight->type == DType::f32) return reinterpret_cast<const float*>(weight->data);
  buffer.resize(weight->cols);
  dtype_info(weight->type).expand(weight->data, buffer.data(), buffer.size());
  return buffer.data();
}

template <typename T>
T* row_or_null(TensorView<T, 2> rows, std::size_t row) {
  return rows.empty() ? nullptr : &rows(row, 0);
}

std::span<const float> row_of(TensorView<const float, 2> rows, std::size_t row) {
  return {&rows(row, 0), rows.extent(1)};
}

void softmax_row(std::span<const float> x, float* out) {
  const float top = *std::max_element(x.begin(), x.end());
  double sum = 0.0;
  for (const float number : x) sum += std::exp(static_cast<double>(number - top));
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(std::exp(static_cast<double>(x[i] - top)) / sum);
}

class CpuOps : public Ops {
 public:
  CpuOps(Precision precision, ThreadPool& pool) : precision_(precision), pool_(pool), products_(precision, pool) {}

  Precision precision() const override { return precision_; }
  ThreadPool& pool() override { return pool_; }
  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override {
    products_.multiply(x, products);
  }

  void normalize(const Norm& norm, TensorView<const float, 2> x, TensorView<float, 2> out, TensorView<float, 2> scale) override {
    const float *gain = numbers_of(norm.weight, gain_), *shift = numbers_of(norm.bias, shift_);
    each_row(x.extent(0), [&](std::size_t r) {
      normalize_row(norm.kind, norm.epsilon,
                    {&x(r, 0), gain, shift, &out(r, 0), row_or_null(scale, r), x.extent(1)});
    });
  }

  void scale_columns(const Weight* weight, TensorView<const float, 2> x, TensorView<float, 2> out) override {
    const float* gain = numbers_of(weight, gain_);
    each_row(x.extent(0), [&](std::size_t r) {
      for (std::size_t c = 0; c < x.extent(1); ++c) out(r, c) = gain ? x(r, c) * gain[c] : x(r, c);
    });
  }

  void rotate(const AttentionSpec& spec, RopeReach reach, std::span<const std::uint32_t> positions,
              TensorView<const float, 3> x, TensorView<float, 3> out) override {
    if (positions.empty()) return;
    RopeTable& table = rope_table(spec, reach);
    table.reserve(*std::max_element(positions.begin(), positions.end()) + std::size_t{1});
    each_row(x.extent(0), [&](std::size_t r) {
      for (std::size_t h = 0; h < x.extent(1); ++h) {
        const float* from = &x(r, h, 0);
        float* to = &out(r, h, 0);
        rotate_row(spec.rope, {from, to, table.cosine(positions[r]), table.sine(positions[r]), spec.rope_dim / 2});
        if (to != from) std::copy(from + spec.rope_dim, from + x.extent(2), to + spec.rope_dim);
      }
    });
  }

  void activate(Activation activation, TensorView<const float, 2> pre, TensorView<const float, 2> linear,
                TensorView<float, 2> out) override {
    each_row(pre.extent(0),
             [&](std::size_t r) { activate_row(activation, row_of(pre, r), row_or_null(linear, r), &out(r, 0)); });
  }

  void soft_cap(float cap, TensorView<float, 2> x) override {
    constexpr std::size_t piece = 4096;  // numbers: rows of logits are long and few
    const std::size_t pieces = (x.extent(1) + piece - 1) / piece;
    pool_.run(x.extent(0) * pieces, [&](std::size_t task, std::size_t) {
      const std::size_t row = task / pieces, begin = task % pieces * piece;
      soft_cap_row(cap, {&x(row, begin), std::min(piece, x.extent(1) - begin)});
    });
  }

  void scale(float factor, TensorView<float, 2> x) override {
    each_row(x.extent(0), [&](std::size_t r) {
      for (std::size_t c = 0; c < x.extent(1); ++c) x(r, c) *= factor;
    });
  }

  void add(TensorView<const float, 2> a, TensorView<const float, 2> b, TensorView<float, 2> out) override {
    each_row(a.extent(0), [&](std::size_t r) { add_row(row_of(a, r), &b(r, 0), &out(r, 0)); });
  }

  void gather(const Weight& table, std::span<const std::int32_t> ids, float scale, TensorView<float, 2> out) override {
    gathered_.resize(padded_to_chunk(table.cols));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::byte* row = table.row(static_cast<std::size_t>(ids[i]));
      expand_panel({table.type, row, 0, 1, table.cols}, DenseRows<float>{gathered_.data(), gathered_.size(), 1});
      for (std::size_t c = 0; c < table.cols; ++c) out(i, c) = gathered_[c] * scale;
    }
  }

  void select(TensorView<const float, 2> x, std::span<const std::size_t> rows, TensorView<float, 2> out) override {
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(&x(rows[i], 0), x.extent(1), &out(i, 0));
  }

  void mean(TensorView<const float, 2> x, TensorView<float, 2> out) override {
    for (std::size_t c = 0; c < x.extent(1); ++c) {
      double sum = 0.0;
      for (std::size_t r = 0; r < x.extent(0); ++r) sum += x(r, c);
      out(0, c) = static_cast<float>(sum / static_cast<double>(x.extent(0)));
    }
  }

  void softmax(TensorView<const float, 2> x, TensorView<float, 2> out) override {
    for (std::size_t r = 0; r < x.extent(0); ++r) softmax_row(row_of(x, r), &out(r, 0));
  }

  void share(TensorView<const float, 2> weights, TensorView<const float, 2> places, TensorView<float, 2> shares) override {
    for (std::size_t r = 0; r < places.extent(0); ++r) {
      const auto weight = [&](std::size_t k) { return weights(r, static_cast<std::size_t>(places(r, k))); };
      float sum = 0.0f;
      for (std::size_t k = 0; k < places.extent(1); ++k) sum += weight(k);
      for (std::size_t k = 0; k < places.extent(1); ++k) shares(r, k) = sum > 0.0f ? weight(k) / sum : 0.0f;  // 0: somebody took all weight away
    }
  }

  void mix(TensorView<const float, 2> x, std::span<const TakenRow> taken, TensorView<const float, 2> shares, TensorView<float, 2> out) override {
    for (std::size_t r = 0; r < out.extent(0); ++r) std::fill_n(&out(r, 0), out.extent(1), 0.0f);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const float share = shares(taken[i].row, taken[i].place);
      for (std::size_t c = 0; c < out.extent(1); ++c) out(taken[i].row, c) += share * x(i, c);
    }
  }

  void attend(const KernelChoice& choice, std::span<const AttentionProblem> problems, std::span<std::byte> scratch) override {
    KernelReport report;
    choice.kernel->run({problems, choice.options, pool_, scratch, report});
    if (!report.failure.empty()) throw Error({"--kernel " + choice.spelled, "", report.failure, ""});
  }

  void weigh_values(const HeadTile& tile, TensorView<const float, 2> weights) override {
    const AttentionProblem& problem = tile.problem;
    const std::size_t kv_head = tile.head / (problem.q.extent(1) / problem.v.kv_heads), dim = problem.v.head_dim, rows = weights.extent(0);
    std::vector<float> value(dim);
    std::vector<double> sums(rows * dim, 0.0);
    for (std::size_t j = 0; j < problem.v.kv_len; ++j) {
      problem.v.expand(j, kv_head, value.data());
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t d = 0; d < dim; ++d) sums[i * dim + d] += static_cast<double>(weights(i, j)) * value[d];
      }
    }
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t d = 0; d < dim; ++d) problem.out(tile.row + i, tile.head, d) = static_cast<float>(sums[i * dim + d]);
    }
  }

  void hadamard(TensorView<const float, 3> x, TensorView<float, 3> out) override {
    const std::size_t dim = x.extent(2);
    each_row(x.extent(0), [&](std::size_t r) {
      for (std::size_t h = 0; h < x.extent(1); ++h) hadamard_row({&x(r, h, 0), dim}, hadamard_size(dim), &out(r, h, 0));
    });
  }

  bool store(TensorView<const float, 2> rows, DType type, std::byte* target, std::size_t target_row_bytes) override {
    VITRINE_CHECK(dtype_info(type).compress != nullptr);
    bool fits = true;
    for (std::size_t r = 0; r < rows.extent(0); ++r) {
      if (type == DType::f16) {
        fits &= store_f16_row(row_of(rows, r), reinterpret_cast<std::uint16_t*>(target + r * target_row_bytes));
        continue;
      }
      if (dtype_info(type).quantized) {
        fits &= store_block_row(type, row_of(rows, r), target + r * target_row_bytes);
        continue;
      }
      dtype_info(type).compress(&rows(r, 0), target + r * target_row_bytes, rows.extent(1));
    }
    return fits;
  }

  void map_rows(const MapRows& rows, TensorView<float, 2> tile) override {
    const AttentionProblem& problem = rows.problem;
    const std::size_t count = tile.extent(0), kv_head = rows.head / (problem.q.extent(1) / problem.k.kv_heads), dim = problem.k.head_dim;
    std::vector<float> k(problem.k.kv_len * dim), normalizer(count), threshold;
    for (std::size_t j = 0; j < problem.k.kv_len; ++j) problem.k.expand(j, kv_head, k.data() + j * dim);
    for (std::size_t i = 0; i < count; ++i) normalizer[i] = problem.normalizer(rows.row + i, rows.head);
    for (std::size_t i = 0; i < count && !problem.threshold.empty(); ++i) threshold.push_back(problem.threshold(rows.row + i, rows.head));
    PatternFactors factors;
    factors.q = {&problem.q(rows.row, rows.head, 0), {count, dim}, {problem.q.stride(0), 1}};
    factors.k = {k.data(), {problem.k.kv_len, dim}};
    factors.normalizer = normalizer;
    factors.score = problem.score.of_rows(rows.row, count);
    factors.head = rows.head;
    factors.rule = rows.rule;
    factors.threshold = threshold;
    factors.q_start = problem.q_start + rows.row;
    rows.scores ? score_tile(factors, 0, 0, tile) : pattern_tile(factors, 0, 0, tile);
  }

  double log_probability(std::span<const float> logits, std::size_t target) override {
    return logits[target] - log_sum_exp(logits);
  }

  void multiply_transposed(TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) override {
    vitrine::multiply_transposed(pool_, g, weight, out);
  }

  void attention_adjoint(const AttentionAdjoint& adjoint) override { vitrine::attention_adjoint(pool_, adjoint); }

  std::string describe() const override {
    return simd_in_use() + ", oneDNN " + std::to_string(DNNL_VERSION_MAJOR) + "." + std::to_string(DNNL_VERSION_MINOR) +
           ", " + std::string(products_.many_rows_arithmetic()) + " products";
  }

 private:
  template <class Task>
  void each_row(std::size_t rows, const Task& task) {
    pool_.run((rows + rows_apiece - 1) / rows_apiece, [&](std::size_t piece, std::size_t) {
      const std::size_t end = std::min(rows, (piece + 1) * rows_apiece);
      for (std::size_t r = piece * rows_apiece; r < end; ++r) task(r);
    });
  }

  RopeTable& rope_table(const AttentionSpec& spec, RopeReach reach) {
    auto found = std::ranges::find_if(ropes_, [&](const RopeTable& table) { return table.serves(spec, reach); });
    if (found == ropes_.end()) found = ropes_.emplace(ropes_.end(), spec, reach);
    return *found;
  }

  Precision precision_;
  ThreadPool& pool_;
  Products products_;
  std::vector<float> gain_, shift_, gathered_;  // kept, so that a token loop does not allocate
  std::vector<RopeTable> ropes_;  // a model has one or two
};

}  // namespace

std::unique_ptr<Ops> make_cpu_ops(Precision precision, ThreadPool& pool) {
  return std::make_unique<CpuOps>(precision, pool);
}

}  // namespace vitrine
