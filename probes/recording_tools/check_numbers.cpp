#include <cmath>
#include <cstdio>

#include "core/model/probe_point.h"
#include "probes/recording_tools/check_internal.h"

namespace vitrine {
namespace {

/// Whether -inf has a meaning there: masked scores, rows of zeros, rows without a threshold.
bool may_be_minus_infinity(const std::string& name) {
  const std::string last = name.substr(name.rfind('/') + 1);
  return last == "normalizer" || last == "threshold" || last.ends_with("hook_attn_scores") || last.ends_with("hook_normalizer") ||
         last.ends_with("hook_threshold") || last == "value" || last == "log_sum_exp";
}

/// Whether the dataset's numbers are looked at elsewhere, or NaN stands for what was not known.
bool is_left_out(const StoredDataset& dataset) {
  const bool whole = dataset.info.type == "i32" || dataset.info.type.starts_with('u');
  const bool terms = dataset.counted == Counted::nothing;  // /summary of an unfinished file, positions that no text reached
  return whole || terms || !dataset.same_as.empty() || dataset.name == "/tokens/log_probability";
}

std::string place_of(const StoredDataset& dataset, std::size_t entry, std::size_t index) {
  std::string place = dataset.name + "[" + std::to_string(entry);
  std::size_t size = entry_numbers(dataset.info);
  for (std::size_t axis = 1; axis < dataset.info.shape.size(); ++axis) {
    size /= dataset.info.shape[axis];
    place += ", " + std::to_string(index / size % dataset.info.shape[axis]);
  }
  return place + "]";
}

void check_dataset(const Check& check, const StoredDataset& dataset) {
  const bool infinite = may_be_minus_infinity(dataset.name);
  const std::size_t width = entry_numbers(dataset.info), rows = check.stored.committed(dataset);
  bool found = false;
  for_slabs(dataset.info, rows, [&](std::size_t begin, std::size_t count) {
    if (found) return;
    const std::vector<float> numbers = check.stored.file.read<float>(dataset.name, entries(dataset.info, begin, count));
    check.result.numbers += numbers.size();
    for (std::size_t i = 0; i < numbers.size() && !found; ++i) {
      const bool good = std::isfinite(numbers[i]) || (infinite && std::isinf(numbers[i]) && numbers[i] < 0.0f);
      if (good) continue;
      found = true;  // one line a dataset
      check.find(place_of(dataset, begin + i / width, i % width), infinite ? "a finite number or -inf" : "a finite number",
                 std::isnan(numbers[i]) ? "NaN" : "an infinity");
    }
  });
}

/// A map that was stored whole has rows that sum to 1, or are zeros.
void check_map(const Check& check, const StoredDataset& dataset) {
  if (!dataset.name.ends_with("hook_pattern") || dataset.info.shape.size() != 3 || dataset.info.type == "int8") return;
  const double tolerance = dataset.info.type == "f32" ? 1e-4 : dataset.info.type == "f16" ? 1e-2 : 4e-2;
  const std::size_t keys = dataset.info.shape[2], heads = dataset.info.shape[1];
  bool found = false;
  for_slabs(dataset.info, check.stored.committed(dataset), [&](std::size_t begin, std::size_t count) {
    if (found) return;
    const std::vector<float> numbers = check.stored.file.read<float>(dataset.name, entries(dataset.info, begin, count));
    for (std::size_t row = 0; row < count * heads && !found; ++row) {
      double sum = 0.0;
      for (std::size_t j = 0; j < keys; ++j) sum += numbers[row * keys + j];
      if (sum == 0.0 || std::fabs(sum - 1.0) <= tolerance) continue;
      found = true;
      char text[32];
      std::snprintf(text, sizeof text, "%.6g", sum);
      check.find(place_of(dataset, begin + row / heads, row % heads * keys), "a row that sums to 1", text);
    }
  });
}

}  // namespace

void check_numbers(const Check& check) {
  std::size_t done = 0;
  for (const StoredDataset& dataset : check.stored.datasets) {
    check.progress.step("numbers", ++done, check.stored.datasets.size());
    if (is_left_out(dataset)) continue;
    check_dataset(check, dataset);
    check_map(check, dataset);
  }
}

}  // namespace vitrine
