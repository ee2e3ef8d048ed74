#include <dnnl_version.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/ops/products.h"

namespace vitrine {
namespace {

float activated(Activation activation, float x) {
  switch (activation) {
    case Activation::gelu_erf: return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
    case Activation::gelu_tanh: return 0.5f * x * (1.0f + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::silu: return x / (1.0f + std::exp(-x));
    case Activation::relu: return std::max(x, 0.0f);
  }
  return x;
}

class CpuOps : public Ops {
 public:
  CpuOps(Precision precision, ThreadPool& pool) : precision_(precision), pool_(pool), products_(precision, pool) {}

  Precision precision() const override { return precision_; }
  ThreadPool& pool() override { return pool_; }
  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override { products_.multiply(x, products); }

  void normalize(const Norm& norm, TensorView<const float, 2> x, TensorView<float, 2> out, TensorView<float, 2> scale,
                 TensorView<float, 2> unscaled) override {
    const std::size_t width = x.extent(1);
    std::vector<float> gain(width, 1.0f), shift(width, 0.0f);
    if (norm.weight) dtype_info(norm.weight->type).expand(norm.weight->data, gain.data(), width);
    if (norm.bias) dtype_info(norm.bias->type).expand(norm.bias->data, shift.data(), width);
    pool_.run(x.extent(0), [&](std::size_t r, std::size_t) {
      double mean = 0.0, squares = 0.0;
      if (norm.kind == NormKind::layer) {
        for (std::size_t c = 0; c < width; ++c) mean += x(r, c);
        mean /= static_cast<double>(width);
      }
      for (std::size_t c = 0; c < width; ++c) squares += (x(r, c) - mean) * (x(r, c) - mean);
      const double denominator = std::sqrt(squares / static_cast<double>(width) + norm.epsilon);
      if (!scale.empty()) scale(r, 0) = static_cast<float>(denominator);
      for (std::size_t c = 0; c < width; ++c) {
        const auto value = static_cast<float>((x(r, c) - mean) / denominator);
        if (!unscaled.empty()) unscaled(r, c) = value;
        out(r, c) = value * gain[c] + shift[c];
      }
    });
  }

  void rotate(const AttentionSpec& spec, std::span<const std::uint32_t> positions, TensorView<const float, 3> x,
              TensorView<float, 3> out) override {
    const std::size_t half = spec.rope_dim / 2;
    std::vector<float> frequency(half);
    for (std::size_t i = 0; i < half; ++i) {
      const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(spec.rope_dim);
      frequency[i] = static_cast<float>(1.0 / std::pow(static_cast<double>(spec.rope_theta), exponent));
      if (!spec.rope_factors.empty()) frequency[i] /= spec.rope_factors[i];
    }
    const bool halves = spec.rope == RopeKind::half;
    pool_.run(x.extent(0), [&](std::size_t r, std::size_t) {
      for (std::size_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(positions[r]) * frequency[i];  // in f32, as published implementations do
        const float cosine = std::cos(angle), sine = std::sin(angle);
        const std::size_t a = halves ? i : 2 * i, b = halves ? i + half : 2 * i + 1;
        for (std::size_t h = 0; h < x.extent(1); ++h) {
          const float first = x(r, h, a), second = x(r, h, b);
          out(r, h, a) = first * cosine - second * sine;
          out(r, h, b) = second * cosine + first * sine;
        }
      }
      for (std::size_t h = 0; h < x.extent(1); ++h) {
        for (std::size_t d = spec.rope_dim; d < x.extent(2); ++d) out(r, h, d) = x(r, h, d);
      }
    });
  }

  void activate(Activation activation, TensorView<const float, 2> pre, TensorView<const float, 2> linear,
                TensorView<float, 2> out) override {
    pool_.run(pre.extent(0), [&](std::size_t r, std::size_t) {
      for (std::size_t c = 0; c < pre.extent(1); ++c) {
        const float value = activated(activation, pre(r, c));
        out(r, c) = linear.empty() ? value : value * linear(r, c);
      }
    });
  }

  void add(TensorView<const float, 2> a, TensorView<const float, 2> b, TensorView<float, 2> out) override {
    for (std::size_t r = 0; r < a.extent(0); ++r) {
      for (std::size_t c = 0; c < a.extent(1); ++c) out(r, c) = a(r, c) + b(r, c);
    }
  }

  void gather(const Weight& table, std::span<const std::int32_t> ids, float scale, TensorView<float, 2> out) override {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      dtype_info(table.type).expand(table.row(static_cast<std::size_t>(ids[i])), &out(i, 0), table.cols);
      if (scale == 1.0f) continue;
      for (std::size_t c = 0; c < table.cols; ++c) out(i, c) *= scale;
    }
  }

  void store(TensorView<const float, 2> rows, DType type, std::byte* target, std::size_t target_row_bytes) override {
    VITRINE_CHECK(dtype_info(type).compress != nullptr);
    for (std::size_t r = 0; r < rows.extent(0); ++r) {
      dtype_info(type).compress(&rows(r, 0), target + r * target_row_bytes, rows.extent(1));
    }
  }

  double log_probability(std::span<const float> logits, std::size_t target) override {
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(logit - top);
    return logits[target] - top - std::log(sum);
  }

  std::string describe() const override {
    return simd_in_use() + ", oneDNN " + std::to_string(DNNL_VERSION_MAJOR) + "." + std::to_string(DNNL_VERSION_MINOR) +
           ", " + std::string(products_.many_rows_arithmetic()) + " products";
  }

 private:
  Precision precision_;
  ThreadPool& pool_;
  Products products_;
};

}  // namespace

std::unique_ptr<Ops> make_cpu_ops(Precision precision, ThreadPool& pool) { return std::make_unique<CpuOps>(precision, pool); }

}  // namespace vitrine
