#include "probes/lens_gradient.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/unembed.h"
#include "probes/statistics/log_normalizer.h"
#include "probes/weight_algebra.h"

namespace vitrine {
namespace {

TensorView<const float, 2> look(const FloatMatrix& a) { return {a.numbers.data(), {a.rows, a.columns}}; }

/// Through the final norm, row by row, in place.
void through_norm(const Model& model, const FloatMatrix& x, FloatMatrix& back) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.back();
  const bool centers = block.norm == NormKind::layer;
  const std::vector<double> gain = vector_or(model.weights.find({Role::final_norm, -1, false, spec.stack}), spec.width, 1.0);
  const auto n = static_cast<double>(spec.width);
  for (std::size_t r = 0; r < x.rows; ++r) {
    double mean = 0.0, squares = 0.0, sum = 0.0, along = 0.0;
    for (std::size_t c = 0; c < x.columns && centers; ++c) mean += x(r, c) / n;
    for (std::size_t c = 0; c < x.columns; ++c) squares += (x(r, c) - mean) * (x(r, c) - mean) / n;
    const double scale = std::sqrt(squares + block.norm_epsilon);
    for (std::size_t c = 0; c < x.columns; ++c) {
      sum += gain[c] * back(r, c) / n;
      along += gain[c] * back(r, c) * (x(r, c) - mean) / scale / n;
    }
    for (std::size_t c = 0; c < x.columns; ++c) {
      back(r, c) = static_cast<float>((gain[c] * back(r, c) - (centers ? sum : 0.0) - (x(r, c) - mean) / scale * along) / scale);
    }
  }
}

}  // namespace

FloatMatrix lens_logits(const ModelRunner& runner, const FloatMatrix& rows) {
  const TapPlan taps;
  const TensorView<float, 2> logits = logits_of_residual(runner.context(taps), look(rows));
  FloatMatrix out(rows.rows, runner.model.spec.vocabulary);
  std::copy_n(logits.data(), out.numbers.size(), out.numbers.begin());
  return out;
}

std::vector<double> divergences(ThreadPool& pool, const FloatMatrix& final, const FloatMatrix& other) {
  std::vector<double> kl(final.rows, 0.0);
  pool.run(final.rows, [&](std::size_t r, std::size_t) {
    const std::span<const float> p(&final(r, 0), final.columns), q(&other(r, 0), final.columns);
    const double p_sum = log_normalizer(p), q_sum = log_normalizer(q);
    for (std::size_t v = 0; v < p.size(); ++v) kl[r] += std::exp(p[v] - p_sum) * ((p[v] - p_sum) - (q[v] - q_sum));
    kl[r] = std::max(kl[r], 0.0);  // rounding alone goes below
  });
  return kl;
}

Weight transposed_head(const Model& model) {
  const Weight& head = model.weights.at({Role::head, -1, false, model.spec.stack});
  constexpr std::size_t chunk = 256;
  Tensor turned(DType::f32, {head.cols, head.rows});
  for (std::size_t first = 0; first < head.rows; first += chunk) {
    const FloatMatrix rows = rows_of(head, first, std::min(chunk, head.rows - first));
    for (std::size_t r = 0; r < rows.rows; ++r) {
      for (std::size_t c = 0; c < rows.columns; ++c) turned.floats()[c * head.rows + first + r] = rows(r, c);
    }
  }
  return make_weight(std::move(turned));
}

FloatMatrix lens_gradient(const ModelRunner& runner, const Weight& head, const FloatMatrix& x, const FloatMatrix& final) {
  const ModelSpec& spec = runner.model.spec;
  VITRINE_CHECK(!spec.head_transform);
  const FloatMatrix own = lens_logits(runner, x);
  FloatMatrix off(own.rows, own.columns), back(x.rows, x.columns);
  const float cap = spec.logit_soft_cap;
  runner.ops.pool().run(own.rows, [&](std::size_t r, std::size_t) {
    const double own_sum = log_normalizer({&own(r, 0), own.columns}), final_sum = log_normalizer({&final(r, 0), own.columns});
    for (std::size_t v = 0; v < own.columns; ++v) {
      const double change = std::exp(own(r, v) - own_sum) - std::exp(final(r, v) - final_sum);
      const double capped = cap > 0.0f ? 1.0 - std::pow(own(r, v) / cap, 2.0) : 1.0;
      off(r, v) = static_cast<float>(change * capped * spec.head_scale / static_cast<double>(x.rows));
    }
  });
  const Product products[] = {{&head, nullptr, TensorView<float, 2>(back.numbers.data(), {back.rows, back.columns})}};
  runner.ops.multiply(look(off), products);
  if (spec.final_norm) through_norm(runner.model, x, back);
  return back;
}

}  // namespace vitrine
