#include "core/shortcuts/importance_file.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/architecture.h"

namespace vitrine {
namespace {

Tensor numbers_of(const Checkpoint& file, const std::string& name) {
  const NamedTensor* tensor = file.find(name);
  if (!tensor) return {};
  if (tensor->weight.type != DType::f32) throw Error({file.path.string() + ": " + name, "F32", std::string(dtype_info(tensor->weight.type).name), ""});
  return expand(tensor->weight);
}

/// The row of one matrix. @returns null where no token came to it
SharedStatistics statistics_of(const Checkpoint& file, const std::string& name, std::size_t cols, std::size_t row) {
  const Tensor sums = numbers_of(file, name + ".in_sum2"), counts = numbers_of(file, name + ".counts");
  const std::string where = file.path.string() + ": " + name;
  if (counts.size() <= row || sums.size() != counts.size() * cols) {
    throw Error({where, "sums of " + std::to_string(cols) + " columns for each matrix", std::to_string(sums.size()) + " of " + std::to_string(counts.size()), "the file is of another model"});
  }
  const std::span<const float> of_row = sums.floats().subspan(row * cols, cols);
  const float count = counts.floats()[row];
  const bool sound = std::isfinite(count) && count >= 0.0f && std::ranges::all_of(of_row, [](float sum) { return std::isfinite(sum) && sum >= 0.0f; });
  if (!sound) throw Error({where, "finite sums from 0", "others", ""});
  if (count == 0.0f) return nullptr;
  auto statistics = std::make_shared<InputStatistics>();
  statistics->rows = 1;
  for (const float sum : of_row) statistics->square_sums.push_back(static_cast<double>(sum) / count);
  return statistics;
}

}  // namespace

StatisticsOf read_importance(const std::filesystem::path& path, const Model& model) {
  if (model.checkpoint->format != "gguf") throw Error({"importance from " + path.string(), "a model from a GGUF, whose names the file has", model.checkpoint->format, "convert it first"}, Fault::usage);
  const Checkpoint file = open_checkpoint(path);
  const Architecture& architecture = architecture_of(*model.checkpoint);
  StatisticsOf found;
  for (const WeightKey& key : block_matrices(model)) {
    const std::string name = architecture.tensor(*model.checkpoint, spec_of(model, key), key).name;
    if (!file.find(name + ".in_sum2")) continue;
    if (SharedStatistics statistics = statistics_of(file, name, model.weights.at(key).cols, static_cast<std::size_t>(std::max(key.expert, 0)))) found.emplace(key, std::move(statistics));
  }
  if (found.empty()) throw Error({path.string(), "sums of squares of this model's matrices (llama-imatrix's GGUF)", "none", ""});
  return found;
}

}  // namespace vitrine
