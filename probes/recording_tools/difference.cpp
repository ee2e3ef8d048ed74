#include "probes/recording_tools/difference.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/recording_tools/stored_datasets_internal.h"
#include "probes/statistics/attention_drift.h"

namespace vitrine {
namespace {

using Side = Recording::Side;
using Dataset = RecordingDifference::Dataset;

[[noreturn]] void refuse(const StoredRecording& a, const StoredRecording& b, const std::string& what, const std::string& found) {
  throw Error({b.file.path(), what + " as in " + a.file.path(), found, "only recordings of the same tokens can be compared"});
}

void require_same_tokens(const StoredRecording& a, const StoredRecording& b, Side side) {
  const Recording &mine = *a.recording, &theirs = *b.recording;
  const std::string prefix = side == Side::encoder ? "encoder " : "";
  if (mine.sequences() != theirs.sequences())
    refuse(a, b, std::to_string(mine.sequences()) + " sequences", std::to_string(theirs.sequences()));
  for (std::size_t s = 0; s < mine.sequences(); ++s) {
    const auto left = mine.token_ids(s, side), right = theirs.token_ids(s, side);
    const auto place = std::ranges::mismatch(left, right);
    if (place.in1 == left.end() && place.in2 == right.end()) continue;
    const auto shown = [](const auto& ids, auto at) { return at == ids.end() ? std::string("the end") : "token " + std::to_string(*at); };
    refuse(
        a, b,
        prefix + shown(left, place.in1) + " at position " + std::to_string(place.in1 - left.begin()) + " of sequence " + std::to_string(s),
        shown(right, place.in2));
  }
}

/// Sums over pairs of numbers.
struct Sums {
  double difference = 0.0, a = 0.0, b = 0.0, product = 0.0;

  void add(double x, double y, Dataset& result) {
    if (std::isfinite(x) && std::isfinite(y)) {
      difference += (y - x) * (y - x);
      a += x * x;
      b += y * y;
      product += x * y;
      result.largest = std::max(result.largest, std::fabs(y - x));
    } else if (!(x == y || (std::isnan(x) && std::isnan(y)))) {
      ++result.misplaced;
    }
  }
};

/// Codes of 8 bits are read as float.
std::vector<double> numbers_of(const StoredRecording& of, const StoredDataset& dataset, const CheckedFile::Box& box) {
  if (dataset.info.type != "int8") return of.file.read<double>(dataset.name, box);
  const std::vector<float> numbers = of.file.read<float>(dataset.name, box);
  return {numbers.begin(), numbers.end()};
}

Dataset compare(const StoredRecording& a, const StoredRecording& b, const StoredDataset& mine, const StoredDataset& theirs) {
  Dataset result{.name = mine.name, .type_a = mine.info.type, .type_b = theirs.info.type, .same_bytes = mine.info.type == theirs.info.type};
  const bool whole = mine.info.type == "i32" || mine.info.type.starts_with('u');
  Sums sums;
  for_slabs(mine.info, mine.info.shape.front(), [&](std::size_t begin, std::size_t count) {
    const CheckedFile::Box box = entries(mine.info, begin, count);
    if (mine.info.type == theirs.info.type && a.file.stored(mine.name, begin, count) != b.file.stored(theirs.name, begin, count))
      result.same_bytes = false;
    const std::vector<double> left = numbers_of(a, mine, box), right = numbers_of(b, theirs, box);
    for (std::size_t i = 0; i < left.size(); ++i) whole ? void(result.changed += left[i] != right[i]) : sums.add(left[i], right[i], result);
    result.numbers += left.size();
  });
  result.relative_error = sums.difference == 0.0 ? 0.0 : std::sqrt(sums.difference / sums.a);  // infinite where all of a is zero
  result.cosine = sums.a == 0.0 && sums.b == 0.0   ? 1.0
                  : sums.a == 0.0 || sums.b == 0.0 ? 0.0
                                                   : sums.product / std::sqrt(sums.a) / std::sqrt(sums.b);
  return result;
}

/// Whether a dataset describes the text and the file rather than what a model made of it.
bool is_description(const std::string& name) {
  return name.find("/tokens/") != std::string::npos ? !name.ends_with("log_probability") : name.find("/sequences/") != std::string::npos;
}

/// Cut to what was committed.
StoredDataset cut(const StoredRecording& of, StoredDataset dataset) {
  dataset.info.shape.front() = of.committed(dataset);
  return dataset;
}

void compare_datasets(const StoredRecording& a, const StoredRecording& b, RecordingDifference& result, Run& progress) {
  std::size_t done = 0;
  for (const StoredDataset& dataset : a.datasets) {
    progress.step("datasets", ++done, a.datasets.size());
    if (is_description(dataset.name) || !dataset.same_as.empty()) continue;
    const StoredDataset* other = b.find(dataset.name);
    const StoredDataset mine = cut(a, dataset), theirs = other ? cut(b, *other) : StoredDataset{};
    if (mine.info.shape == theirs.info.shape) {
      result.datasets.push_back(compare(a, b, mine, theirs));
    } else {
      result.only_a.push_back(dataset.name + (other ? " (another shape)" : ""));
    }
  }
  for (const StoredDataset& dataset : b.datasets) {
    if (!a.find(dataset.name)) result.only_b.push_back(dataset.name);
  }
}

/// Adds the divergences of all rows that may see 8 or more keys.
void add_drift(const Recording::Head& a, const Recording::Head& b, RecordingDifference::Head& sum) {
  constexpr std::size_t band_rows = 64;  // of a map that exist at once
  const std::size_t rows = a.factors.q.extent(0), keys = a.factors.k.extent(0);
  const bool causal = a.factors.score.mask == Mask::causal;
  std::vector<float> mine(band_rows * keys), theirs(band_rows * keys);
  for (std::size_t first = 0; first < rows; first += band_rows) {
    const std::size_t count = std::min(band_rows, rows - first);
    pattern_tile(a.factors, first, 0, {mine.data(), {count, keys}});
    pattern_tile(b.factors, first, 0, {theirs.data(), {count, keys}});
    for (std::size_t i = 0; i < count; ++i) {
      if ((causal ? first + i + 1 : keys) < fewest_visible_keys) continue;
      const auto row = [&](const std::vector<float>& map) {
        return std::vector<double>(map.begin() + static_cast<std::ptrdiff_t>(i * keys),
                                   map.begin() + static_cast<std::ptrdiff_t>((i + 1) * keys));
      };
      sum.bits += jensen_shannon(row(mine), row(theirs));
      ++sum.rows;
    }
  }
}

void compare_maps(const Recording& a, const Recording& b, RecordingDifference& result, ThreadPool& pool, Run& progress) {
  std::size_t done = 0;
  for (const Recording::Module& module : a.modules()) {
    const auto other = std::ranges::find(b.modules(), module.name, &Recording::Module::name);
    if (other == b.modules().end() || other->heads != module.heads) continue;
    const std::size_t first = result.heads.size();
    for (std::size_t h = 0; h < module.heads; ++h) result.heads.push_back({module.name, h});
    for (std::size_t s = 0; s < a.sequences(); ++s) {
      std::vector<std::shared_ptr<const Recording::Head>> mine, theirs;  // read by one thread
      for (std::size_t h = 0; h < module.heads; ++h) {
        mine.push_back(a.head(module, h, s));
        theirs.push_back(b.head(*other, h, s));
      }
      pool.run(module.heads, [&](std::size_t h, std::size_t) { add_drift(*mine[h], *theirs[h], result.heads[first + h]); });
    }
    progress.step("maps", ++done, a.modules().size());
  }
}

}  // namespace

double RecordingDifference::largest_relative_error() const {
  double largest = 0.0;
  for (const Dataset& dataset : datasets) largest = std::max(largest, dataset.relative_error);
  return largest;
}

std::size_t RecordingDifference::misplaced() const {
  std::size_t sum = 0;
  for (const Dataset& dataset : datasets) sum += dataset.misplaced;
  return sum;
}

bool RecordingDifference::same_bytes() const {
  return only_a.empty() && only_b.empty() && std::ranges::all_of(datasets, &Dataset::same_bytes);
}

RecordingDifference compare_recordings(const std::filesystem::path& a, const std::filesystem::path& b, CompareMaps maps, ThreadPool& pool,
                                       Run& progress) {
  const StoredRecording mine(a), theirs(b);
  if (mine.recording->has_encoder() != theirs.recording->has_encoder())
    refuse(mine, theirs, mine.recording->has_encoder() ? "an encoder's rows" : "no encoder's rows", "the contrary");
  require_same_tokens(mine, theirs, Side::text);
  if (mine.recording->has_encoder()) require_same_tokens(mine, theirs, Side::encoder);
  RecordingDifference result;
  for (const char* name : {"model", "architecture", "precision", "kernel", "machine"}) {
    const std::string left = mine.recording->provenance()[name].string(), right = theirs.recording->provenance()[name].string();
    if (left != right) result.unlike.push_back(std::string(name) + ": " + left + ", " + right);
  }
  compare_datasets(mine, theirs, result, progress);
  if (maps == CompareMaps::yes) compare_maps(*mine.recording, *theirs.recording, result, pool, progress);
  return result;
}

}  // namespace vitrine
