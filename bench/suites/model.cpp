#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/suite.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

using ModelPtr = std::shared_ptr<const LoadedModel>;

constexpr std::size_t prompt_step = 64;  // of the check before a prompt is timed

struct Row {
  ModelPtr loaded;
  RunnerChoice choice;
  std::size_t tokens;  // of the prompt, or before the one that is decoded

  PassRunner runner() const { return {loaded, choice.precision, "auto", choice.kv}; }
};

/// Nats from exact arithmetic from which on a row is wrong. Four bits a number cost more than rounding does
/// (docs/decisions/0005-quantised-kv-caches.md).
double most_nats(const RunnerChoice& choice) { return choice.kv && choice.kv->type == DType::q4_1 ? 0.25 : choice.precision == Precision::int8 ? 0.05 : 0.01; }

Arithmetic arithmetic_of(Precision precision) {
  if (precision == Precision::int8) return Arithmetic::int8;
  return precision == Precision::fast && bf16_in_use() ? Arithmetic::bf16 : Arithmetic::f32;
}

std::string too_long(const LoadedModel& loaded, std::size_t tokens) {
  return loaded.holds(tokens) ? ""
                              : "the model's context holds " + std::to_string(loaded.model.spec.context) + " tokens";
}

/// Says how right it is beside the speed; false where the row cannot run, or is not right at all.
bool check(benchmark::State& state, const Row& row, std::size_t tokens, std::size_t step) {
  if (const std::string reason = too_long(*row.loaded, tokens); !reason.empty()) {
    state.SkipWithError(reason.c_str());
    return false;
  }
  if (!row.loaded->predicts()) return true;
  const double nats = divergence_from_exact(row.loaded, row.choice, step);
  state.counters["KL_to_exact"] = nats;
  if (nats <= most_nats(row.choice)) return true;
  state.SkipWithError("predictions differ from exact arithmetic");
  return false;
}

void prefill_row(benchmark::State& state, const Row& row) {
  if (!check(state, row, row.tokens, prompt_step)) return;
  PassRunner runner = row.runner();
  const std::vector<TokenId> ids = random_ids(*row.loaded, row.tokens);
  const auto prefill = [&] {
    KvCache cache = runner.new_cache();
    runner.run_ids(ids, cache);
    state.counters["memory"] = static_cast<double>(runner.bytes(cache));
  };
  prefill();
  measure(state,
          {.operations = row.loaded->operations(0, row.tokens, 1),
           .arithmetic = arithmetic_of(row.choice.precision),
           .tokens = static_cast<double>(row.tokens),
           .kernel = std::string(runner.kernel().kernel->name)},
          prefill);
}

/// What stands before the token that is decoded; made at the first call of a row and kept for the next.
struct Depth {
  PassRunner runner;
  KvCache cache;
  std::vector<TokenId> ids;

  explicit Depth(const Row& row)
      : runner(resident(*row.loaded), row.choice.precision, "auto", row.choice.kv), cache(runner.new_cache()), ids(random_ids(*row.loaded, row.tokens + 1)) {
    runner.run_ids(std::span(ids).first(row.tokens), cache);
  }
};

void decode_row(benchmark::State& state, const Row& row, std::unique_ptr<Depth>& depth) {
  if (!check(state, row, row.tokens + 1, 1)) return;
  if (!depth) depth = std::make_unique<Depth>(row);
  const auto decode = [&] {
    depth->runner.run_ids(std::span(depth->ids).last(1), depth->cache);
    depth->cache.truncate(row.tokens);
  };
  decode();
  state.counters["memory"] = static_cast<double>(depth->runner.bytes(depth->cache));
  measure(state,
          {.bytes = row.loaded->file_bytes, .tokens = 1.0, .kernel = std::string(depth->runner.kernel().kernel->name)},
          decode);
}

constexpr std::size_t short_texts = 500, shortest = 10, longest = 40, long_text = 2048, checked_texts = 50;

/// Scores of many short texts, in batches of at most max_rows tokens as `vitrine score` makes them, beside one long
/// text. Random texts have nothing in common at their beginning, so nothing is saved there.
class ShortTexts {
 public:
  explicit ShortTexts(const Row& row) : runner_(row.runner()) {
    std::mt19937 random(2);
    for (std::size_t t = 0; t < short_texts; ++t) {
      texts_.push_back(
          random_ids(*row.loaded, shortest + random() % (longest - shortest + 1), static_cast<unsigned>(t)));
      tokens_ += texts_.back().size();
    }
    long_ = random_ids(*row.loaded, row.loaded->holds(long_text) ? long_text : row.loaded->model.spec.context);
    for (std::size_t i = 0; i < max_rows / shortest; ++i) caches_.push_back(runner_.new_cache());
  }

  std::size_t tokens() const { return tokens_; }
  std::size_t long_tokens() const { return long_.size(); }

  /// @param count  of the texts, from the first
  double score_short(std::size_t count = short_texts) {
    double sum = 0.0;
    std::vector<Segment> batch;
    std::size_t rows = 0;
    const auto finish = [&] {
      sum += runner_.score(batch, {});
      batch.clear();
      rows = 0;
    };
    for (const std::vector<TokenId>& ids : std::span(texts_).first(count)) {
      if (rows + ids.size() > max_rows) finish();
      KvCache& cache = caches_[batch.size()];
      cache.truncate(0);
      batch.push_back({.sequence = static_cast<std::uint32_t>(batch.size()), .ids = ids, .cache = &cache});
      rows += ids.size();
    }
    finish();
    return sum;
  }

  double score_alone(std::size_t count) {
    double sum = 0.0;
    for (const std::vector<TokenId>& ids : std::span(texts_).first(count)) sum += score_one(ids);
    return sum;
  }

  double score_long() { return score_one(long_); }

 private:
  double score_one(std::span<const TokenId> ids) {
    KvCache& cache = caches_.front();
    cache.truncate(0);
    const Segment segment{.ids = ids, .cache = &cache};
    return runner_.score({&segment, 1}, {});
  }

  PassRunner runner_;
  std::vector<std::vector<TokenId>> texts_;
  std::vector<TokenId> long_;
  std::vector<KvCache> caches_;
  std::size_t tokens_ = 0;
};

void batch_row(benchmark::State& state, const Row& row) {
  if (!check(state, row, longest, prompt_step)) return;
  ShortTexts texts(row);
  const double together = texts.score_short(checked_texts), alone = texts.score_alone(checked_texts);
  if (!(std::abs(together - alone) <= 1e-3 * std::abs(alone)))
    return state.SkipWithError("texts score otherwise in a batch than alone");
  const double times = measure_beside(
      state, {.tokens = static_cast<double>(texts.tokens())}, [&] { texts.score_short(); },
      [&] { texts.score_long(); });
  // Tokens a second of the short texts over those of the long one.
  state.counters["of_long_text"] =
      static_cast<double>(texts.tokens()) / static_cast<double>(texts.long_tokens()) / times;
}

void add(const std::string& name, const std::function<void(benchmark::State&)>& row, bool manual) {
  auto* added = benchmark::RegisterBenchmark(name.c_str(), row)->Unit(benchmark::kMillisecond);
  if (manual) {
    added->UseManualTime();
  } else {
    added->UseRealTime();
  }
}

/// Rows of one model with one arithmetic and one cache. @param tail  of their names
void register_choice(const SuiteOptions& options, const ModelPtr& loaded, const RunnerChoice& choice, const std::string& tail) {
  const std::string name = "model/" + loaded->name + "/";
  for (const std::size_t tokens : options.prefill) {
    add(
        name + "prefill_" + std::to_string(tokens) + tail,
        [row = Row{loaded, choice, tokens}](benchmark::State& state) { prefill_row(state, row); }, false);
  }
  if (!loaded->predicts()) return;
  for (const std::size_t tokens : options.depths) {
    const auto depth = std::make_shared<std::unique_ptr<Depth>>();
    add(
        name + "decode_at_" + std::to_string(tokens) + tail,
        [depth, row = Row{loaded, choice, tokens}](benchmark::State& state) { decode_row(state, row, *depth); }, false);
  }
  add(
      name + "score_" + std::to_string(short_texts) + "_short_texts" + tail,
      [row = Row{loaded, choice, 0}](benchmark::State& state) { batch_row(state, row); }, true);
}

void register_rows(const SuiteOptions& options) {
  for (const std::string& path : options.models) {
    const ModelPtr loaded = loaded_model(path);
    for (const Precision precision : precisions()) {
      const std::string tail = "/" + std::string(precision_name(precision));
      if (options.kv.empty() || !loaded->predicts()) register_choice(options, loaded, {precision}, tail);
      for (const std::string& word : options.kv) {
        const KvFormat kv = parse_kv_format(word);
        require_kv_format(loaded->model.spec, kv);
        if (loaded->predicts()) register_choice(options, loaded, {precision, kv}, tail + "/kv_" + word);
      }
    }
  }
}

}  // namespace

const Suite& suite_model() {
  static const Suite suite{
      "model", "prompts, single tokens behind others, many short texts; with the divergence from exact arithmetic",
      register_rows};
  return suite;
}

}  // namespace vitrine
