#include "core/shortcuts/column_scales.h"

#include <algorithm>
#include <cmath>


namespace vitrine {
namespace {

constexpr std::size_t most_rows = 64;  // of a matrix that judge scales
constexpr int steps = 20;

/// Every n-th row, at most 64.
Tensor some_rows(const Tensor& matrix) {
  const std::size_t cols = matrix.shape().back(), rows = matrix.size() / cols, step = (rows + most_rows - 1) / most_rows, count = (rows + step - 1) / step;
  Tensor some(DType::f32, {count, cols});
  for (std::size_t r = 0; r < count; ++r) std::copy_n(matrix.floats().data() + r * step * cols, cols, some.floats().data() + r * cols);
  return some;
}

/// ||(after - before) X||^2. @param gram  [cols, cols] X^T X
double squared_output_error(const Tensor& before, const Tensor& after, const FloatMatrix& gram, ThreadPool& pool) {
  const std::size_t cols = gram.columns, rows = before.size() / cols;
  constexpr std::size_t apiece = 16;
  std::vector<double> sums((rows + apiece - 1) / apiece, 0.0);
  pool.run(sums.size(), [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * apiece, count = std::min(apiece, rows - first);
    FloatMatrix difference(count, cols);
    for (std::size_t i = 0; i < count * cols; ++i) difference.numbers[i] = after.floats()[first * cols + i] - before.floats()[first * cols + i];
    const FloatMatrix through = product(difference, gram);
    for (std::size_t i = 0; i < difference.numbers.size(); ++i) sums[piece] += static_cast<double>(difference.numbers[i]) * through.numbers[i];
  });
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

/// Geometric middle 1, so that neither end leaves the reach of half-precision scales.
std::vector<float> scales_of(const InputStatistics& statistics, double power) {
  std::vector<double> raw;
  double low = 1e300, high = 0.0;
  for (const double sum : statistics.magnitude_sums) {
    raw.push_back(std::max(std::pow(sum / static_cast<double>(statistics.rows), power), 1e-4));
    low = std::min(low, raw.back());
    high = std::max(high, raw.back());
  }
  std::vector<float> scales;
  for (const double scale : raw) scales.push_back(static_cast<float>(scale / std::sqrt(low * high)));
  return scales;
}

ScaleCarrier norm_of(const Model& model, const WeightKey& reader, Role norm) {
  ScaleCarrier carrier;
  for (const bool bias : {false, true}) {
    const WeightKey key{norm, reader.block, bias, reader.stack};
    if (model.weights.find(key)) carrier.norms.push_back(key);
  }
  if (!carrier.norms.empty() && carrier.norms.front().bias) carrier.norms.clear();  // a bias alone takes no scale
  return carrier;
}

}  // namespace

std::vector<ScaledGroup> scaled_groups(const Model& model, std::span<const WeightKey> keys) {
  std::vector<ScaledGroup> groups;
  if (keys.empty() || keys.front().block < 0) return groups;
  const WeightKey any = keys.front();
  const ModelSpec& spec = spec_of(model, any);
  const BlockSpec& block = spec.blocks[static_cast<std::size_t>(any.block)];
  const bool own_norms = block.placement != NormPlacement::post && block.placement != NormPlacement::parallel_shared;
  const auto have = [&](std::initializer_list<Role> roles) {
    std::vector<WeightKey> found;
    for (const Role role : roles) {
      for (const WeightKey& key : keys) {
        if (key.role == role && key.expert < 0) found.push_back(key);
      }
    }
    return found;
  };
  const auto add = [&](std::vector<WeightKey> matrices, ScaleCarrier carrier) {
    if (!matrices.empty()) groups.push_back({std::move(matrices), std::move(carrier)});
  };
  add(have({Role::attn_q, Role::attn_k, Role::attn_v}), own_norms ? norm_of(model, any, Role::attn_norm) : ScaleCarrier());
  ScaleCarrier values, up;
  // With grouped queries one value column goes into several columns of the output matrix.
  if (block.attention.heads == block.attention.kv_heads) {
    for (const WeightKey& key : have({Role::attn_v})) values.matrix = key;
  }
  add(have({Role::attn_out}), values);
  add(have({Role::mlp_gate, Role::mlp_up}), own_norms ? norm_of(model, any, Role::mlp_norm) : ScaleCarrier());
  // The gate's activation is not scaled with it; a relu is.
  if (block.mlp.gated || block.mlp.activation == Activation::relu) {
    for (const WeightKey& key : have({Role::mlp_up})) up.matrix = key;
  }
  add(have({Role::mlp_down}), up);
  return groups;
}

std::vector<float> search_scales(std::span<const Tensor* const> matrices, const InputStatistics& statistics, const Rounder& rounder, ThreadPool& pool) {
  std::vector<Tensor> samples;
  for (const Tensor* matrix : matrices) samples.push_back(some_rows(*matrix));
  FloatMatrix gram(statistics.gram.rows, statistics.gram.columns);
  std::ranges::transform(statistics.gram.numbers, gram.numbers.begin(), [](double x) { return static_cast<float>(x); });
  std::vector<float> best(statistics.square_sums.size(), 1.0f);
  double least = std::numeric_limits<double>::infinity();
  for (int step = 0; step < steps; ++step) {
    const std::vector<float> scales = scales_of(statistics, static_cast<double>(step) / steps);
    std::vector<float> importance = importance_of(&statistics);
    for (std::size_t c = 0; c < scales.size(); ++c) importance[c] /= scales[c] * scales[c];
    double error = 0.0;
    for (const Tensor& sample : samples) {
      Tensor scaled = copy_of(sample);
      multiply_columns(scaled, scales);
      Tensor rounded = expand(make_weight(rounder(scaled, importance)));
      divide_columns(rounded, scales);
      error += squared_output_error(sample, rounded, gram, pool);
    }
    if (!(error < least)) continue;
    least = error;
    best = scales;
  }
  return best;
}

void multiply_columns(Tensor& matrix, std::span<const float> scales) {
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix.floats()[i] *= scales[i % scales.size()];
}

void divide_columns(Tensor& matrix, std::span<const float> scales) {
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix.floats()[i] /= scales[i % scales.size()];
}

void divide_rows(Tensor& matrix, std::span<const float> scales) {
  const std::size_t cols = matrix.size() / scales.size();
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix.floats()[i] /= scales[i / cols];
}

}  // namespace vitrine
