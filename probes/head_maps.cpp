#include "probes/head_maps.h"

#include <algorithm>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t band_rows = 64;  // of a map that exist at once

}  // namespace

void each_map_row(const Recording::Head& head, std::size_t rows, const std::function<void(std::size_t row, std::span<const float> weights)>& see) {
  const std::size_t keys = head.factors.k.extent(0);
  std::vector<float> buffer(std::min(band_rows, rows) * keys);
  for (std::size_t first = 0; first < rows && keys > 0; first += band_rows) {
    const std::size_t count = std::min(band_rows, rows - first);
    pattern_tile(head.factors, first, 0, TensorView<float, 2>(buffer.data(), {count, keys}));
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

std::vector<Recording::Module> modules_of_text(const Recording& recording, std::size_t sequence) {
  std::vector<Recording::Module> modules = own_modules(recording);
  if (modules.empty()) throw Error({recording.path().string(), "attention factors", "none", "record with --attention factors"});
  if (recording.rows_of(sequence).count == 0) {
    throw Error({recording.path().string(), "tokens in sequence " + std::to_string(sequence), "none", "choose another with --set sequence=N"});
  }
  return modules;
}

}  // namespace vitrine
