#include <benchmark/benchmark.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/suite.h"
#include "core/model/forward.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

constexpr std::size_t prompt = 512, checked = 64;

struct Loaded {
  Model model;
  std::vector<TokenId> ids;  // random: speed does not depend on them
  double bytes = 0.0;        // read for a token: the file (a tied embedding counts once), or all weights of a folder
};

/// One model with one arithmetic, as `vitrine` would run it.
class Runner {
 public:
  Runner(const Loaded& loaded, Precision precision, std::string_view kernel)
      : loaded_(loaded),
        ops_(make_cpu_ops(precision, bench_pool())),
        kernel_(choose_attention_kernel(kernel, precision)),
        kv_(precision == Precision::exact ? DType::f32 : DType::f16) {}

  bool causal() const { return loaded_.model.spec.causal(); }

  /// Ids [begin, begin + count) behind what the cache holds; logits of the rows wanted go to `logits`.
  void run(KvCache* cache, std::size_t begin, std::size_t count, std::vector<std::vector<float>>* logits = nullptr) {
    ForwardSinks sinks;
    sinks.logit_rows = !loaded_.model.spec.has_head ? LogitRows::none : logits ? LogitRows::all : LogitRows::last;
    sinks.logits = [logits](std::span<const RowRef> rows, TensorView<float, 2> values) {
      if (!logits) return;
      for (std::size_t r = 0; r < rows.size(); ++r)
        logits->emplace_back(&values(r, 0), &values(r, 0) + values.extent(1));
    };
    Run progress;
    const TapPlan taps;
    const Segment segment{
        .sequence = 0, .ids = std::span(loaded_.ids).subspan(begin, count), .cache = causal() ? cache : nullptr};
    forward({loaded_.model, *ops_, kernel_, workspace_, progress, taps}, {&segment, 1}, sinks);
  }

  KvCache new_cache() const { return KvCache(loaded_.model.spec, kv_); }

 private:
  const Loaded& loaded_;
  std::unique_ptr<Ops> ops_;
  KernelChoice kernel_;
  Workspace workspace_;
  DType kv_;
};

double divergence(const std::vector<float>& exact, const std::vector<float>& other, Ops& ops) {
  const double log_sum = exact[0] - ops.log_probability(exact, 0), other_sum = other[0] - ops.log_probability(other, 0);
  double sum = 0.0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double log_p = exact[i] - log_sum, log_q = other[i] - other_sum;
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return sum;
}

/// Mean Kullback-Leibler divergence, in nats, of this runner's predictions from exact arithmetic with reference
/// attention. A timing without it would say how fast, but not how right.
double divergence_from_exact(const Loaded& loaded, Runner& runner, std::size_t step) {
  std::vector<std::vector<float>> expected, found;
  const std::size_t count = std::min(checked, loaded.ids.size());
  Runner reference(loaded, Precision::exact, "reference");
  KvCache expected_cache = reference.new_cache(), cache = runner.new_cache();
  reference.run(&expected_cache, 0, count, &expected);
  for (std::size_t begin = 0; begin < count; begin += step) {
    runner.run(&cache, begin, std::min(step, count - begin), &found);
  }
  const auto ops = make_cpu_ops(Precision::exact, bench_pool());
  double sum = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) sum += divergence(expected[i], found[i], *ops);
  return sum / static_cast<double>(expected.size());
}

/// Counts how right it is beside the speed; false where it is not right at all.
bool check(benchmark::State& state, const Loaded& loaded, Runner& runner, std::size_t step) {
  if (!loaded.model.spec.has_head || !runner.causal()) return true;
  const double nats = divergence_from_exact(loaded, runner, step);
  state.counters["KL_to_exact"] = nats;
  if (nats <= 0.01) return true;
  state.SkipWithError("predictions differ from exact arithmetic");
  return false;
}

void prefill_row(benchmark::State& state, const Loaded& loaded, Precision precision) {
  Runner runner(loaded, precision, "auto");
  if (!check(state, loaded, runner, checked)) return;
  for (auto _ : state) {
    KvCache cache = runner.new_cache();
    runner.run(&cache, 0, loaded.ids.size());
  }
  const auto tokens = static_cast<double>(loaded.ids.size()) * static_cast<double>(state.iterations());
  state.counters["tokens/s"] = benchmark::Counter(tokens, benchmark::Counter::kIsRate);
}

void decode_row(benchmark::State& state, const Loaded& loaded, Precision precision) {
  Runner runner(loaded, precision, "auto");
  if (!check(state, loaded, runner, 1)) return;
  KvCache cache = runner.new_cache();
  const std::size_t depth = loaded.ids.size() - 1;
  runner.run(&cache, 0, depth);
  for (auto _ : state) {
    runner.run(&cache, depth, 1);
    cache.truncate(depth);
  }
  const auto iterations = static_cast<double>(state.iterations());
  state.counters["tokens/s"] = benchmark::Counter(iterations, benchmark::Counter::kIsRate);
  const double bytes = loaded.bytes * iterations;
  state.counters["of_bandwidth"] =
      benchmark::Counter(bytes / machine_peak().read_bytes_second, benchmark::Counter::kIsRate);
}

std::shared_ptr<const Loaded> load(const std::string& path) {
  auto loaded = std::make_shared<Loaded>();
  loaded->model = load_model(path);
  loaded->bytes = static_cast<double>(std::filesystem::is_regular_file(path) ? std::filesystem::file_size(path)
                                                                             : loaded->model.weights.bytes());
  std::mt19937 random(1);
  const ModelSpec& spec = loaded->model.spec;
  const std::size_t count = spec.context > 0 ? std::min(prompt, spec.context) : prompt;
  for (std::size_t i = 0; i < count; ++i) loaded->ids.push_back(static_cast<TokenId>(random() % spec.vocabulary));
  return loaded;
}

}  // namespace

void register_model_rows(const std::vector<std::string>& models) {
  for (const std::string& path : models) {
    const std::shared_ptr<const Loaded> loaded = load(path);
    const std::string name = "model/" + std::filesystem::path(path).filename().string();
    for (const Precision precision : {Precision::fast, Precision::exact}) {
      const std::string word = precision == Precision::fast ? "/fast" : "/exact";
      const std::string length = std::to_string(loaded->ids.size());
      benchmark::RegisterBenchmark((name + "/prefill_" + length + word).c_str(),
                                   [=](benchmark::State& state) { prefill_row(state, *loaded, precision); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
      if (!loaded->model.spec.causal()) continue;
      benchmark::RegisterBenchmark((name + "/decode_at_" + length + word).c_str(),
                                   [=](benchmark::State& state) { decode_row(state, *loaded, precision); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace vitrine
