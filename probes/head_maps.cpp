#include "probes/head_maps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t band_rows = 64;  // of a map that exist at once
constexpr std::size_t sampled_rows = 8;  // of each head, where a note says how far maps are off

/// The longest text of a module's queries.
std::size_t longest_sequence(const Recording& recording, const Recording::Module& module) {
  std::size_t longest = 0;
  for (std::size_t s = 1; s < recording.sequences(); ++s) {
    if (recording.rows_of(s, module.queries).count > recording.rows_of(longest, module.queries).count) longest = s;
  }
  return longest;
}

/// How far sums of some rows are from 1; rows that see nothing do not count.
double worst_row_sum(const Recording::Head& head) {
  const std::size_t rows = head.factors.q.extent(0), keys = head.factors.k.extent(0);
  std::vector<float> weights(keys);
  double worst = 0.0;
  for (std::size_t sample = 1; sample <= std::min(sampled_rows, rows) && keys > 0; ++sample) {
    const std::size_t row = rows * sample / std::min(sampled_rows, rows) - 1;
    if (std::isinf(head.normalizer[row])) continue;
    pattern_tile(head.factors, row, 0, {weights.data(), {1, keys}});
    worst = std::max(worst, std::abs(std::accumulate(weights.begin(), weights.end(), -1.0)));
  }
  return worst;
}

}  // namespace

void each_map_row(const Recording::Head& head, std::size_t rows, const std::function<void(std::size_t row, std::span<const float> weights)>& see) {
  const PatternFactors& factors = head.factors;
  const std::size_t keys = factors.k.extent(0);
  std::vector<float> buffer(std::min(band_rows, rows) * keys);
  for (std::size_t first = 0; first < rows && keys > 0; first += band_rows) {
    const std::size_t count = std::min(band_rows, rows - first);
    // What is behind the last query stays 0 in the buffer.
    const std::size_t seen = factors.score.mask == Mask::causal ? std::min(keys, factors.q_start + first + count) : keys;
    pattern_tile(factors, first, 0, TensorView<float, 2>(buffer.data(), {count, seen}, {static_cast<std::ptrdiff_t>(keys), 1}));
    for (std::size_t r = 0; r < count; ++r) see(first + r, {&buffer[r * keys], keys});
  }
}

void each_head(const Recording& recording, const Recording::Module& module, std::size_t sequence, ThreadPool& pool,
               const std::function<void(std::size_t head, const Recording::Head& factors)>& work) {
  std::vector<std::shared_ptr<const Recording::Head>> heads;
  for (std::size_t h = 0; h < module.heads; ++h) heads.push_back(recording.head(module, h, sequence));
  pool.run(module.heads, [&](std::size_t h, std::size_t) { work(h, *heads[h]); });
}

std::vector<double> attention_with_residual(const Recording& recording, const Recording::Module& module, std::size_t sequence, ThreadPool& pool) {
  const std::size_t length = recording.rows_of(sequence).count;
  std::vector<std::shared_ptr<const Recording::Head>> heads;
  for (std::size_t h = 0; h < module.heads; ++h) heads.push_back(recording.head(module, h, sequence));
  std::vector<double> matrix(length * length, 0.0);
  const std::size_t bands = (length + band_rows - 1) / band_rows;
  pool.run(bands, [&](std::size_t band, std::size_t) {
    const std::size_t first = band * band_rows, rows = std::min(band_rows, length - first);
    std::vector<float> buffer(rows * length);
    const TensorView<float, 2> tile(buffer.data(), {rows, length});
    for (const auto& head : heads) {
      pattern_tile(head->factors, first, 0, tile);
      for (std::size_t i = 0; i < buffer.size(); ++i) matrix[first * length + i] += buffer[i];
    }
    for (std::size_t r = first; r < first + rows; ++r) {
      double* row = &matrix[r * length];
      double sum = 1.0;
      for (std::size_t j = 0; j < length; ++j) sum += row[j] /= static_cast<double>(module.heads);
      row[r] += 1.0;
      for (std::size_t j = 0; j < length; ++j) row[j] /= sum;
    }
  });
  return matrix;
}

std::optional<std::string> note_on_maps(const Recording& recording, ThreadPool& pool) {
  double worst = 0.0;
  bool any = false;
  for (const Recording::Module& module : recording.modules()) {
    if (!module.codes || recording.sequences() == 0 || !recording.may_read(DataClass::values)) continue;
    any = true;
    std::vector<double> of_head(module.heads);
    each_head(recording, module, longest_sequence(recording, module), pool, [&](std::size_t h, const Recording::Head& head) { of_head[h] = worst_row_sum(head); });
    worst = std::max(worst, *std::ranges::max_element(of_head));
  }
  if (!any) return {};
  std::array<char, 16> off{};
  std::snprintf(off.data(), off.size(), "%.2g", worst);
  return "weights of maps are made from queries and keys stored in 8 bits, each off by up to a 254th of the largest in its block of 32: sums of " +
         std::to_string(sampled_rows) + " sampled rows a head are off by up to " + off.data() + "; record with --store auto for exact maps";
}

std::vector<Recording::Module> modules_of_text(const Recording& recording, std::size_t sequence) {
  std::vector<Recording::Module> modules = own_modules(recording);
  if (modules.empty()) throw Error({recording.path().string(), "attention factors", "none", "record with --attention factors"});
  if (recording.rows_of(sequence).count == 0) {
    throw Error({recording.path().string(), "tokens in sequence " + std::to_string(sequence), "none", "choose another with --set sequence=N"});
  }
  return modules;
}

}  // namespace vitrine
