#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "probes/recording_layout_internal.h"
#include "probes/recording_tools/check_internal.h"

namespace vitrine {
namespace {

using Side = Recording::Side;

/// A row whose map is rebuilt.
struct SampledRow {
  std::size_t sequence, row;
};

/// Evenly spread over all rows of a side, the first and the last among them.
std::vector<SampledRow> sampled_rows(const Check& check, Side side) {
  std::vector<SampledRow> rows;
  const std::size_t total = check.stored.rows(side), wanted = std::min(check.options.sampled_rows, total);
  std::size_t sequence = 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::size_t at = wanted > 1 ? i * (total - 1) / (wanted - 1) : 0;
    while (check.recording().rows_of(sequence, side).begin + check.recording().rows_of(sequence, side).count <= at) ++sequence;
    rows.push_back({sequence, at - check.recording().rows_of(sequence, side).begin});
  }
  return rows;
}

/// What a stored vector may lack, relative to its length: half of the distance between neighbours, and of codes of 8 bits the root of
/// 32 times the 254th part of a block's largest number.
double rounding_of(const Check& check, const std::string& name) {
  const StoredDataset* dataset = check.stored.find(name);
  if (!dataset || dataset->info.type == "f32") return 0.0;
  return dataset->info.type == "f16" ? 0x1p-11 : dataset->info.type == "bf16" ? 0x1p-9 : std::sqrt(32.0) / 254.0;
}

double length_of(std::span<const float> vector) {
  double sum = 0.0;
  for (const float x : vector) sum += static_cast<double>(x) * x;
  return std::sqrt(sum);
}

double longest_of(std::span<const float> vectors, std::size_t width) {
  double longest = 0.0;
  for (std::size_t at = 0; at + width <= vectors.size() && width > 0; at += width)
    longest = std::max(longest, length_of(vectors.subspan(at, width)));
  return longest;
}

/// One head of one sequence with what a row of it is compared to.
struct HeadCheck {
  const Check& check;
  const Recording::Module& module;
  std::size_t head, sequence;
  std::shared_ptr<const Recording::Head> factors;
  std::vector<float> values;  // [keys, d_v] where they were stored

  double longest_key, longest_position;
  double q_rounding, k_rounding, output_rounding;

  /// How far a weight of a row may be from what was applied, relative: 1e-5 where factors are stored in f32 (FORMAT.md). What 16-bit
  /// numbers lack changes a score by at most the product of the lengths times that (Cauchy-Schwarz).
  double tolerance(std::size_t row) const {
    const std::size_t width = module.head_dim;
    const double q = length_of(std::span(factors->q).subspan(row * width, width)), bias = length_of(factors->key_bias);
    if (module.rule.kind == PatternKind::feature_map) {  // ln phi grows with its argument, FAVOR+'s with directions of length sqrt(width)
      return 1e-5 + (q_rounding * q + k_rounding * longest_key) * (std::sqrt(static_cast<double>(width)) + q + longest_key);
    }
    return 1e-5 + module.score.scale * ((q_rounding * q + k_rounding * (q + bias)) * longest_key + q_rounding * q * longest_position);
  }

  Recording::Rows queries() const { return check.recording().rows_of(sequence, module.queries); }
  Recording::Rows keys() const { return check.recording().rows_of(sequence, module.keys); }
  std::string place(std::string_view dataset, std::size_t row) const {
    return std::string(dataset) + "[" + std::to_string(queries().begin + row) + ", " + std::to_string(head) + "]";
  }
  void compare(const std::string& where, double expected, double found, double tolerance_here) const {
    if (std::fabs(expected - found) <= tolerance_here) return;
    char text[2][32];
    std::snprintf(text[0], sizeof text[0], "%.7g", expected);
    std::snprintf(text[1], sizeof text[1], "%.7g", found);
    check.find(where, std::string(text[0]) + " by the rebuilt map", text[1]);
  }
};

/// Entropy in nats, mean distance in tokens, weight on the first key: as kernels gather them.
std::array<double, 3> statistics_of(std::span<const float> weights, std::size_t row) {
  std::array<double, 3> statistics{0.0, 0.0, weights.empty() ? 0.0 : weights[0]};
  for (std::size_t j = 0; j < weights.size(); ++j) {
    if (weights[j] > 0.0f) statistics[0] -= weights[j] * std::log(static_cast<double>(weights[j]));
    statistics[1] += weights[j] * std::fabs(static_cast<double>(row) - static_cast<double>(j));
  }
  return statistics;
}

void check_statistics(const HeadCheck& of, std::size_t row, std::span<const float> weights, double tolerance) {
  const std::array<double, 3> expected = statistics_of(weights, row);
  const double span = static_cast<double>(std::max<std::size_t>(weights.size(), 2));
  const std::array<double, 3> scale{std::log(span), span, 1.0};  // the largest value that each can have
  for (std::size_t s = 0; s < row_statistics.size(); ++s) {
    const std::string name = "/attention/" + of.module.name + "/" + std::string(row_statistics[s]);
    const double found = of.check.stored.file.read<float>(name, {{of.queries().begin + row, of.head}, {1, 1}})[0];
    of.compare(of.place(name, row), expected[s], found, 4.0 * tolerance * scale[s]);
  }
}

/// The head's output against the rebuilt row times the values.
void check_output(const HeadCheck& of, std::size_t row, std::span<const float> weights, double tolerance) {
  const std::string name = "/activations/" + of.module.name + ".hook_z";
  const StoredDataset* z = of.check.stored.find(name);
  if (of.values.empty() || !z || z->info.shape.size() != 3) return;
  const std::size_t width = z->info.shape[2];
  const std::vector<float> output = of.check.stored.file.read<float>(name, {{of.queries().begin + row, of.head, 0}, {1, 1, width}});
  double difference = 0.0, norm = 0.0, terms = 0.0;
  for (std::size_t d = 0; d < width; ++d) {
    double sum = 0.0, size = 0.0;
    for (std::size_t j = 0; j < weights.size(); ++j) {
      sum += static_cast<double>(weights[j]) * of.values[j * width + d];
      size += static_cast<double>(weights[j]) * std::fabs(of.values[j * width + d]);
    }
    difference += (sum - output[d]) * (sum - output[d]);
    norm += static_cast<double>(output[d]) * output[d];
    terms += size * size;  // where terms cancel, the sum cannot be as exact as its own size
  }
  const double error = std::sqrt(difference / std::max({norm, terms, 1e-30}));
  of.check.result.worst_output = std::max(of.check.result.worst_output, error);
  if (error <= 2.0 * tolerance + of.output_rounding) return;
  char text[64];
  std::snprintf(text, sizeof text, "a relative error of %.3g", error);
  of.check.find(of.place(name, row), "the rebuilt map times the values", text);
}

void check_row(const HeadCheck& of, std::size_t row) {
  std::vector<float> weights(of.keys().count);
  pattern_tile(of.factors->factors, row, 0, {weights.data(), {1, weights.size()}});
  double sum = 0.0;
  for (const float weight : weights) sum += weight;
  const double whole = std::isinf(of.factors->normalizer[row]) ? 0.0 : 1.0;
  of.check.result.worst_row_sum = std::max(of.check.result.worst_row_sum, std::fabs(sum - whole));
  ++of.check.result.maps_rows;
  const double tolerance = of.tolerance(row);
  const std::string name = "/attention/" + of.module.name + "/normalizer";
  if (!(std::fabs(sum - whole) <= tolerance)) {
    char text[64];
    std::snprintf(text, sizeof text, "%.7g", sum);
    return of.check.find(of.place(name, row), whole > 0.0 ? "a rebuilt row that sums to 1" : "a rebuilt row of zeros", text);
  }
  if (whole > 0.0) check_statistics(of, row, weights, tolerance);
  check_output(of, row, weights, tolerance);
}

std::vector<float> values_of(const Check& check, const Recording::Module& module, std::size_t head, Recording::Rows keys) {
  const StoredDataset* v = check.stored.find("/activations/" + module.name + ".hook_v");
  if (!v || v->info.shape.size() != 3 || v->info.shape[1] != module.kv_heads) return {};
  return check.stored.file.read<float>(v->name,
                                       {{keys.begin, head / (module.heads / module.kv_heads), 0}, {keys.count, 1, v->info.shape[2]}});
}

void check_module(const Check& check, const Recording::Module& module) {
  const std::vector<SampledRow> rows = sampled_rows(check, module.queries);
  const std::string group = "/attention/" + module.name, activation = "/activations/" + module.name;
  const double q_rounding = rounding_of(check, group + "/q"), k_rounding = rounding_of(check, group + "/k"),
               output_rounding = rounding_of(check, activation + ".hook_v") + rounding_of(check, activation + ".hook_z");
  const std::size_t findings = check.result.findings.size();
  for (std::size_t head = 0; head < module.heads; ++head) {
    for (std::size_t i = 0; i < rows.size();) {
      const std::size_t sequence = rows[i].sequence;
      const auto factors = check.recording().head(module, head, sequence);
      const HeadCheck of{check,
                         module,
                         head,
                         sequence,
                         factors,
                         values_of(check, module, head, check.recording().rows_of(sequence, module.keys)),
                         longest_of(factors->k, module.head_dim),
                         longest_of(factors->positions, module.head_dim),
                         q_rounding,
                         k_rounding,
                         output_rounding};
      for (; i < rows.size() && rows[i].sequence == sequence; ++i) check_row(of, rows[i].row);
    }
    if (check.result.findings.size() > findings + 10) return;  // the rest would say the same
  }
}

/// Means over all rows.
void check_summary(const Check& check, const Recording::Module& module, std::size_t place) {
  for (const std::string_view statistic : row_statistics) {
    const std::string name = "/summary/" + std::string(statistic);
    const StoredDataset* stored = check.stored.find(name);
    if (!stored || stored->info.shape.size() != 2 || stored->info.shape[0] <= place || stored->info.shape[1] < module.heads) {
      check.find(name, "[attention, head]", stored ? "another shape" : "none");
      continue;
    }
    std::vector<double> sums(module.heads, 0.0);
    const StoredDataset& rows = *check.stored.find("/attention/" + module.name + "/" + std::string(statistic));
    for_slabs(rows.info, check.stored.committed(rows), [&](std::size_t begin, std::size_t count) {
      const std::vector<float> values = check.stored.file.read<float>(rows.name, entries(rows.info, begin, count));
      for (std::size_t i = 0; i < values.size(); ++i) sums[i % module.heads] += values[i];
    });
    const auto means = check.stored.file.read<double>(name, {{place, 0}, {1, module.heads}});
    for (std::size_t head = 0; head < module.heads; ++head) {
      const double mean = sums[head] / static_cast<double>(check.stored.committed(rows));
      if (std::fabs(mean - means[head]) <= 1e-9 * (1.0 + std::fabs(mean)) || check.stored.committed(rows) == 0) continue;
      check.find(name + "[" + std::to_string(place) + ", " + std::to_string(head) + "]", std::to_string(mean) + ", the mean over all rows",
                 std::to_string(means[head]));
      break;
    }
  }
}

}  // namespace

void check_attention(const Check& check) {
  const auto modules = check.recording().modules();
  for (std::size_t m = 0; m < modules.size(); ++m) {
    check_module(check, modules[m]);
    if (check.recording().finished()) check_summary(check, modules[m], m);
    check.progress.step("attention", m + 1, modules.size());
  }
}

}  // namespace vitrine
