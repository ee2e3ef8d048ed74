// What it costs to watch: the same tokens with and without an observer, alternating.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "bench/measure.h"
#include "bench/suite.h"
#include "probes/recorder.h"
#include "probes/recording.h"

namespace vitrine {
namespace {

using ModelPtr = std::shared_ptr<const LoadedModel>;

constexpr std::size_t text_tokens = 512;

/// Looks at a set of points and does nothing.
class Onlooker : public Observer {
 public:
  explicit Onlooker(std::set<ProbePoint> points) : points_(std::move(points)) {}
  Access access(const ProbePoint& point) const override {
    return points_.contains(point) ? Access::read : Access::none;
  }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3>) override { seen_ += rows.size(); }
  std::size_t seen() const { return seen_; }

 private:
  std::set<ProbePoint> points_;
  std::size_t seen_ = 0;
};

/// One text, scored as `vitrine score` does, watched or not.
class Scene {
 public:
  explicit Scene(ModelPtr loaded)
      : loaded_(std::move(loaded)),
        runner_(loaded_, Precision::fast),
        cache_(runner_.new_cache()),
        ids_(random_ids(*loaded_, loaded_->holds(text_tokens) ? text_tokens : loaded_->model.spec.context)),
        file_(std::filesystem::temp_directory_path() / ("vitrine_bench_" + std::to_string(getpid()) + "_" + std::to_string(scenes++) + ".h5")) {
    for (const TokenId id : ids_) tokens_.push_back({id, 0, 0});
  }
  ~Scene() {
    std::error_code ignored;
    std::filesystem::remove(file_, ignored);
    std::filesystem::remove(audit_path(file_), ignored);
  }

  /// From now on recordings are written for one reader, who has this key.
  void protect() {
    SecretBytes key(key_bytes);
    std::ranges::fill(key.span(), std::byte{7});
    secret_ = std::make_shared<ReaderSecret>(ReaderSecret::Kind::key, std::move(key));
  }

  std::size_t tokens() const { return ids_.size(); }

  double score(std::span<Observer* const> observers = {}) {
    cache_.truncate(0);
    const Segment segment{.ids = ids_, .cache = &cache_};
    return runner_.score({&segment, 1}, TapPlan(loaded_->model.spec, observers));
  }

  /// The default points into a file, from creating to closing it.
  double record() {
    const auto recorder = make_recorder();
    recorder->begin_sequence(tokens_);
    Observer* observers[] = {recorder.get()};
    const double sum = score(observers);
    recorder->end_sequence();
    recorder->finish();
    bytes_ = static_cast<double>(std::filesystem::file_size(file_));
    return sum;
  }
  double file_bytes() const { return bytes_; }
  std::unique_ptr<Recording> open() const { return Recording::open(file_, secret_); }

  /// Every point that recording the default points looks at.
  std::set<ProbePoint> recorded_points() {
    const auto recorder = make_recorder();
    std::set<ProbePoint> points;
    for (const ProbePoint& point : all_points(loaded_->model.spec)) {
      if (recorder->access(point) != Access::none) points.insert(point);
    }
    return points;
  }

 private:
  std::unique_ptr<Recorder> make_recorder() {
    const std::string words[] = {"default"};
    RecorderOptions options;
    options.path = file_;
    options.points = select_points(loaded_->model.spec, words);
    options.kv_format = runner_.kv_type();
    options.longest_sequence = options.expected_rows = ids_.size();
    options.provenance = Json::object();
    if (secret_) options.readers = {{ReaderRole::everything, secret_}};
    return Recorder::create({loaded_->model, runner_.kernel(), runner_.ops()}, std::move(options));
  }

  static inline int scenes = 0;
  ModelPtr loaded_;
  PassRunner runner_;
  KvCache cache_;
  std::vector<TokenId> ids_;
  std::vector<Token> tokens_;
  std::filesystem::path file_;
  SharedSecret secret_;  // null: recordings are open
  double bytes_ = 0.0;
};

/// @param watched  one watched run; its sum of log-probabilities must be the unwatched run's, bit for bit
void compare(benchmark::State& state, Scene& scene, const std::function<double()>& watched) {
  if (watched() != scene.score()) return state.SkipWithError("watching changed the result");
  const double ratio = measure_beside(
      state, {.tokens = static_cast<double>(scene.tokens())}, [&] { watched(); }, [&] { scene.score(); });
  state.counters["of_unwatched"] = ratio;
}

void off_row(benchmark::State& state, const ModelPtr& loaded) {
  Scene scene(loaded);
  Onlooker onlooker({});
  Observer* observers[] = {&onlooker};
  compare(state, scene, [&] { return scene.score(observers); });
}

void looking_row(benchmark::State& state, const ModelPtr& loaded) {
  Scene scene(loaded);
  Onlooker onlooker(scene.recorded_points());
  Observer* observers[] = {&onlooker};
  compare(state, scene, [&] { return scene.score(observers); });
  if (onlooker.seen() == 0) state.SkipWithError("the observer saw nothing");
}

void written_row(benchmark::State& state, const ModelPtr& loaded) {
  Scene scene(loaded);
  compare(state, scene, [&] { return scene.record(); });
  state.counters["file_bytes"] = scene.file_bytes();
}

void protected_row(benchmark::State& state, const ModelPtr& loaded) {
  Scene scene(loaded);
  scene.protect();
  compare(state, scene, [&] { return scene.record(); });
  state.counters["file_bytes"] = scene.file_bytes();
}

/// What a viewer does at a click: the factors of one head out of a protected file, beside the same out of an open one.
void read_head_row(benchmark::State& state, const ModelPtr& loaded) {
  Scene open(loaded), sealed(loaded);
  sealed.protect();
  for (Scene* scene : {&open, &sealed}) scene->record();
  const std::unique_ptr<Recording> plain = open.open(), kept = sealed.open();
  std::size_t next = 0;
  const auto read = [&](const Recording& recording) {
    const Recording::Module& module = recording.modules()[next++ % recording.modules().size()];
    return recording.head(module, next % module.heads, 0);
  };
  if (read(*plain)->q.size() != open.tokens() * plain->modules()[0].head_dim) return state.SkipWithError("another size");
  state.counters["of_open"] = measure_beside(state, {.tokens = static_cast<double>(open.tokens())}, [&] { read(*kept); }, [&] { read(*plain); });
}

void register_rows(const SuiteOptions& options) {
  for (const std::string& path : options.models) {
    const ModelPtr loaded = loaded_model(path);
    if (!loaded->predicts()) continue;
    const auto add = [&](const char* what, void (*row)(benchmark::State&, const ModelPtr&)) {
      benchmark::RegisterBenchmark(("recording/" + loaded->name + "/" + what).c_str(),
                                   [loaded, row](benchmark::State& state) { row(state, loaded); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    };
    add("registered_but_off", off_row);
    add("observers_look", looking_row);
    add("written", written_row);
    add("written_protected", protected_row);
    if (loaded->model.spec.encoder.empty()) add("read_head_protected", read_head_row);
  }
}

}  // namespace

const Suite& suite_recording() {
  static const Suite suite{
      "recording", "512 tokens with an observer that is off, that looks at the default points, that writes them",
      register_rows};
  return suite;
}

}  // namespace vitrine
