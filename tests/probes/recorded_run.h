#pragma once

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/model/forward.h"
#include "kernels/kernels.h"
#include "probes/recorder.h"
#include "probes/recording.h"

namespace vitrine {

/// Keeps every value it is shown, so that a test can compare a file with what really happened.
class Keeper : public Observer {
 public:
  Access access(const ProbePoint&) const override { return Access::read; }
  void see(const ProbePoint& point, std::span<const RowRef>, TensorView<float, 3> values) override {
    std::vector<float>& kept = seen[point_name(point)];
    for (std::size_t r = 0; r < values.extent(0); ++r) {
      for (std::size_t h = 0; h < values.extent(1); ++h) {
        for (std::size_t d = 0; d < values.extent(2); ++d) kept.push_back(values(r, h, d));
      }
    }
  }
  std::map<std::string, std::vector<float>> seen;
};

/// One of the tiny golden models with everything that runs it.
struct TinyModel {
  explicit TinyModel(const std::string& name, Precision precision = Precision::exact)
      : pool(2, initialize_worker), ops(make_cpu_ops(precision, pool)), kernel(choose_attention_kernel("auto")),
        model(load_model(std::filesystem::path(VITRINE_TEST_DATA) / "golden" / name / "model")) {}

  /// The sequences go through the model one after the other, seen by all observers.
  void run(std::span<const std::vector<TokenId>> sequences, std::span<Observer* const> observers, KvFormat kv_format = DType::f32) {
    const TapPlan taps(model.spec, observers);
    const ForwardContext context{model, *ops, kernel, workspace, progress, taps};
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      Segment segment{.sequence = static_cast<std::uint32_t>(s), .ids = sequences[s], .types = {}};
      if (s < types.size()) segment.types = types[s];
      if (s < allowed.size()) segment.allowed = allowed[s];
      KvCache memory(model.spec, kv_format, AttentionRole::cross);
      if (s < sources.size()) {
        const Segment source{.sequence = segment.sequence, .ids = sources[s], .memory = &memory};
        encode(context, {&source, 1}, {});
        segment.memory = &memory;
      }
      KvCache cache(model.spec, kv_format);
      if (model.spec.causal()) segment.cache = &cache;
      forward(context, {&segment, 1}, {});
    }
  }

  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  KernelChoice kernel;
  Model model;
  Workspace workspace;
  Run progress;
  std::vector<std::vector<TokenId>> sources{};  ///< of an encoder-decoder, one for each sequence
  std::vector<std::vector<std::int32_t>> types{};
  std::vector<BitView> allowed{};
};

inline std::vector<Token> tokens_of(std::span<const TokenId> ids) {
  std::vector<Token> tokens;
  for (const TokenId id : ids) tokens.push_back({id, tokens.size(), tokens.size() + 1});
  return tokens;
}

/// Records the sequences of a tiny model into `path`; `finish` as a run that ends well.
inline std::unique_ptr<Recorder> record(TinyModel& tiny, std::span<const std::vector<TokenId>> sequences,
                                        RecorderOptions options, Observer* also = nullptr) {
  const KvFormat kv_format = options.kv_format;
  auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, std::move(options));
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    recorder->begin_sequence(tokens_of(sequences[s]), s < tiny.sources.size() ? tokens_of(tiny.sources[s]) : std::vector<Token>());
  }
  std::vector<Observer*> observers{recorder.get()};
  if (also) observers.push_back(also);
  tiny.run(sequences, observers, kv_format);
  recorder->end_sequence();
  return recorder;
}

inline const std::vector<std::vector<TokenId>> two_texts{{3, 17, 42, 5, 5, 61, 9, 17, 42, 30, 2, 8, 50, 1, 3},
                                                         {9, 9, 1, 22, 64, 9, 9, 1, 22, 64, 11}};

inline RecorderOptions options_for(const TinyModel& tiny, const std::filesystem::path& path, std::vector<std::string> points = {"all"}) {
  RecorderOptions options;
  options.path = path;
  options.points = select_points(tiny.model.spec, points);
  options.kv_format = DType::f32;
  options.provenance = Json::object().set("seed", 7);
  return options;
}

/// A file in a folder of its own that goes away with the test.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name)
      : folder_(std::filesystem::temp_directory_path() / ("vitrine_" + name + "_" + std::to_string(::getpid()))),
        path(folder_ / "run.h5") {
    std::filesystem::create_directories(folder_);
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

 private:
  std::filesystem::path folder_;

 public:
  const std::filesystem::path path;
};

/// Between the maps rebuilt from the factors of the file, times the values, and what the model's heads put out.
inline double largest_difference(const Recording& recording, const Keeper& keeper) {
  double largest = 0.0;
  for (const Recording::Module& module : recording.modules()) {
    const std::vector<float>&z = keeper.seen.at(module.name + ".hook_z"), &v = keeper.seen.at(module.name + ".hook_v");
    const std::size_t dim = module.head_dim;
    for (std::size_t sequence = 0; sequence < recording.sequences(); ++sequence) {
      const auto [begin, count] = recording.rows_of(sequence, module.queries);
      const auto [first_key, keys] = recording.rows_of(sequence, module.keys);
      for (std::size_t h = 0; h < module.heads; ++h) {
        std::vector<float> map(count * keys);
        pattern_tile(recording.head(module, h, sequence)->factors, 0, 0, {map.data(), {count, keys}});
        const std::size_t kv_head = h / (module.heads / module.kv_heads);
        for (std::size_t i = 0; i < count * dim; ++i) {
          double sum = 0.0;
          for (std::size_t j = 0; j < keys; ++j) sum += map[i / dim * keys + j] * v[((first_key + j) * module.kv_heads + kv_head) * dim + i % dim];
          largest = std::max(largest, std::fabs(sum - z[((begin + i / dim) * module.heads + h) * dim + i % dim]));
        }
      }
    }
  }
  return largest;
}

/// How far a row of a map rebuilt from the factors of the file is from the sum of one.
inline double largest_error_of_row_sums(const Recording& recording) {
  double largest = 0.0;
  for (const Recording::Module& module : recording.modules()) {
    for (std::size_t sequence = 0; sequence < recording.sequences(); ++sequence) {
      const std::size_t count = recording.rows_of(sequence, module.queries).count, keys = recording.rows_of(sequence, module.keys).count;
      for (std::size_t h = 0; h < module.heads; ++h) {
        std::vector<float> map(count * keys);
        pattern_tile(recording.head(module, h, sequence)->factors, 0, 0, {map.data(), {count, keys}});
        for (std::size_t i = 0; i < count; ++i) {
          const auto row = std::span(map).subspan(i * keys, keys);
          largest = std::max(largest, std::fabs(std::accumulate(row.begin(), row.end(), 0.0) - 1.0));
        }
      }
    }
  }
  return largest;
}

}  // namespace vitrine
