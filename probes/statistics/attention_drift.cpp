#include "probes/statistics/attention_drift.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr double sink_threshold = 0.3;

/// One key's part of the divergence: (p log2(p / m) + q log2(q / m)) / 2 with m = (p + q) / 2, never below 0.
double part(double p, double q) {
  const double middle = (p + q) / 2.0;
  double sum = 0.0;
  if (p > 0.0) sum += p * std::log2(p / middle);
  if (q > 0.0) sum += q * std::log2(q / middle);
  return sum / 2.0;
}

}  // namespace

double jensen_shannon(std::span<const double> p, std::span<const double> q) {
  VITRINE_CHECK(p.size() == q.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += part(p[i], q[i]);
  return std::max(0.0, sum);
}

std::vector<bool> sink_keys(TensorView<const float, 2> reference, std::size_t first_row) {
  const std::size_t keys = reference.extent(1);
  std::vector<double> sums(keys, 0.0), rows(keys, 0.0);
  for (std::size_t r = 0; r < reference.extent(0); ++r) {
    if (first_row + r + 1 < fewest_visible_keys) continue;
    for (std::size_t j = 0; j < std::min(keys, first_row + r + 1); ++j) {
      sums[j] += reference(r, j);
      rows[j] += 1.0;
    }
  }
  std::vector<bool> sink(keys, false);
  // Half of the rows must be able to see a key before it can be their sink.
  for (std::size_t j = 0; j < keys; ++j) sink[j] = rows[j] * 2.0 >= rows[0] && rows[j] > 0.0 && sums[j] / rows[j] >= sink_threshold;
  return sink;
}

void add_row(AttentionDrift& drift, std::span<const float> reference, std::span<const float> variant, const std::vector<bool>& sink) {
  VITRINE_CHECK(reference.size() == variant.size() && sink.size() >= reference.size());
  double total = 0.0, coarse = 0.0, p_content = 0.0, q_content = 0.0;
  for (std::size_t j = 0; j < reference.size(); ++j) {
    const double p = reference[j], q = variant[j], each = part(p, q);
    total += each;
    if (sink[j]) {
      coarse += each;
    } else {
      p_content += p;
      q_content += q;
    }
  }
  coarse += part(p_content, q_content);
  drift.rows += 1.0;
  drift.total += std::max(0.0, total);
  drift.sink_shift += std::max(0.0, coarse);
  drift.content_part += std::max(0.0, total - coarse);
  drift.content_share += (p_content + q_content) / 2.0;
}

}  // namespace vitrine
