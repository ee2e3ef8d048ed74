#include "bench/loaded_model.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>
#include <tuple>

#include "bench/machine.h"
#include "core/model/resident.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

using Logits = std::vector<std::vector<float>>;

constexpr std::size_t checked = 64;

/// Logits of all ids, which are given `step` at a time.
Logits logits_of(PassRunner& runner, std::span<const TokenId> ids, std::size_t step) {
  Logits logits;
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> values) {
    for (std::size_t r = 0; r < rows.size(); ++r) logits.emplace_back(&values(r, 0), &values(r, 0) + values.extent(1));
  };
  KvCache cache = runner.new_cache();
  for (std::size_t begin = 0; begin < ids.size(); begin += step) {
    const Segment segment{.ids = ids.subspan(begin, std::min(step, ids.size() - begin)), .cache = &cache};
    runner.run({&segment, 1}, {}, sinks);
  }
  return logits;
}

double divergence(const std::vector<float>& exact, const std::vector<float>& other, Ops& ops) {
  const double log_sum = exact[0] - ops.log_probability(exact, 0), other_sum = other[0] - ops.log_probability(other, 0);
  double sum = 0.0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double log_p = exact[i] - log_sum, log_q = other[i] - other_sum;
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return sum;
}

}  // namespace

double LoadedModel::operations(std::size_t before, std::size_t rows, std::size_t logit_rows) const {
  const auto count = static_cast<double>(rows), keys = static_cast<double>(before) + (count + 1.0) / 2.0;
  double sum = 0.0;
  for (const auto& [key, weight] : model.weights.all()) {
    if (key.block >= 0 && !key.bias && weight.rows > 1)
      sum += 2.0 * count * static_cast<double>(weight.rows * weight.cols);
  }
  for (const BlockSpec& block : model.spec.blocks) {
    const double visible = model.spec.causal() ? keys : count;
    sum += 4.0 * count * visible * static_cast<double>(block.attention.heads * block.attention.head_dim);
  }
  const double head = model.spec.has_head ? static_cast<double>(model.spec.width * model.spec.vocabulary) : 0.0;
  return sum + 2.0 * static_cast<double>(logit_rows) * head;
}

std::shared_ptr<const LoadedModel> loaded_model(const std::string& path) {
  static std::map<std::string, std::shared_ptr<const LoadedModel>> models;
  auto& found = models[path];
  if (found) return found;
  auto made = std::make_shared<LoadedModel>();
  made->path = path;
  made->name = std::filesystem::path(path).filename().string();
  made->model = load_model(path);
  made->file_bytes = static_cast<double>(std::filesystem::is_regular_file(path) ? std::filesystem::file_size(path)
                                                                                : made->model.weights.bytes());
  return found = made;
}

std::shared_ptr<const LoadedModel> resident(const LoadedModel& loaded) {
  auto moved = std::make_shared<LoadedModel>(loaded);
  make_resident(moved->model, bench_pool());
  return moved;
}

std::vector<TokenId> random_ids(const LoadedModel& loaded, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>(random() % loaded.model.spec.vocabulary));
  return ids;
}

PassRunner::PassRunner(std::shared_ptr<const LoadedModel> loaded, Precision precision, std::string_view kernel,
                         std::optional<KvFormat> kv)
    : loaded_(std::move(loaded)),
      ops_(make_cpu_ops(precision, bench_pool())),
      kernel_(choose_attention_kernel(kernel, precision)),
      kv_(kv.value_or(precision == Precision::exact ? DType::f32 : DType::f16)) {
  require_kv_format(loaded_->model.spec, kv_);
}

void PassRunner::run(std::span<const Segment> segments, const TapPlan& taps, const ForwardSinks& sinks) {
  Run progress;
  forward({loaded_->model, *ops_, kernel_, workspace_, progress, taps}, segments, sinks);
}

void PassRunner::run_ids(std::span<const TokenId> ids, KvCache& cache) {
  ForwardSinks sinks;
  sinks.logit_rows = loaded_->model.spec.has_head ? LogitRows::last : LogitRows::none;
  sinks.logits = [](std::span<const RowRef>, TensorView<float, 2>) {};
  const Segment segment{.ids = ids, .cache = loaded_->model.spec.causal() ? &cache : nullptr};
  run({&segment, 1}, {}, sinks);
}

double PassRunner::score(std::span<const Segment> segments, const TapPlan& taps) {
  std::vector<double> sums(segments.size());
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    std::vector<double> found(rows.size());
    ops_->pool().run(rows.size(), [&](std::size_t r, std::size_t) {
      const std::span<const TokenId> ids = segments[rows[r].sequence].ids;
      const std::size_t next = rows[r].position + 1;
      if (next < ids.size())
        found[r] = ops_->log_probability({&logits(r, 0), logits.extent(1)}, static_cast<std::size_t>(ids[next]));
    });
    for (std::size_t r = 0; r < rows.size(); ++r) sums[rows[r].sequence] += found[r];
  };
  run(segments, taps, sinks);
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

double divergence_from_exact(const std::shared_ptr<const LoadedModel>& loaded, const RunnerChoice& choice, std::size_t step) {
  static std::map<std::tuple<std::string, Precision, std::string, std::size_t>, double> known;
  const auto key = std::tuple(loaded->path, choice.precision, choice.kv ? kv_format_name(*choice.kv) : "", step);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  const std::size_t count = loaded->model.spec.context == 0 ? checked : std::min(checked, loaded->model.spec.context);
  const std::vector<TokenId> ids = random_ids(*loaded, count);
  PassRunner reference(loaded, Precision::exact, "reference"), runner(loaded, choice.precision, "auto", choice.kv);
  const Logits expected = logits_of(reference, ids, count), found = logits_of(runner, ids, step);
  double sum = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) sum += divergence(expected[i], found[i], reference.ops());
  return known[key] = sum / static_cast<double>(expected.size());
}

}  // namespace vitrine
