#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/forward.h"

namespace vitrine {

/// A model of the command line, opened once for all suites.
struct LoadedModel {
  std::string name;  ///< of its file or folder
  std::string path;
  Model model;
  double file_bytes = 0.0;  ///< what a token reads: the file (a tied embedding counts once), or all weights of a folder

  bool predicts() const { return model.spec.has_head && model.spec.causal(); }
  bool holds(std::size_t tokens) const { return model.spec.context == 0 || tokens <= model.spec.context; }
  /// Operations of products and attention for `rows` tokens behind `before` others, with logits of `logit_rows` of
  /// them.
  double operations(std::size_t before, std::size_t rows, std::size_t logit_rows) const;
};

/// @throws Error as load_model
std::shared_ptr<const LoadedModel> loaded_model(const std::string& path);

/// The same with its weights in memory of huge pages, as `vitrine generate` has them (core/model/resident.h).
std::shared_ptr<const LoadedModel> resident(const LoadedModel& loaded);

/// Random ids of the vocabulary, the same for the same seed: speed does not depend on them.
std::vector<TokenId> random_ids(const LoadedModel& loaded, std::size_t count, unsigned seed = 1);

/// A model with one arithmetic, as `vitrine` would run it.
class PassRunner {
 public:
  /// @param kv  none: as `vitrine` chooses it for the precision
  PassRunner(std::shared_ptr<const LoadedModel> loaded, Precision precision, std::string_view kernel = "auto",
              std::optional<KvFormat> kv = {});

  const LoadedModel& loaded() const { return *loaded_; }
  Ops& ops() { return *ops_; }
  const KernelChoice& kernel() const { return kernel_; }
  DType kv_type() const { return kv_.type; }
  KvCache new_cache() const { return KvCache(loaded_->model.spec, kv_); }
  /// Of the key-value cache and everything between the layers.
  std::size_t bytes(const KvCache& cache) const { return cache.bytes() + workspace_.bytes(); }

  void run(std::span<const Segment> segments, const TapPlan& taps, const ForwardSinks& sinks);
  /// Ids behind what the cache holds; logits of the last one (where the model has a head) are made and thrown away.
  void run_ids(std::span<const TokenId> ids, KvCache& cache);
  /// Log-probability of every next token of each segment's ids, as `vitrine score` finds them; returns their sum.
  double score(std::span<const Segment> segments, const TapPlan& taps);

 private:
  std::shared_ptr<const LoadedModel> loaded_;
  std::unique_ptr<Ops> ops_;
  KernelChoice kernel_;
  Workspace workspace_;
  KvFormat kv_;
};

struct RunnerChoice {
  Precision precision;
  std::optional<KvFormat> kv{};
};

/// Mean Kullback-Leibler divergence, in nats, of a runner's predictions from exact arithmetic with reference attention
/// over 64 random tokens given `step` at a time; kept for the next row that asks. A timing without it would say how
/// fast, but not how right.
double divergence_from_exact(const std::shared_ptr<const LoadedModel>& loaded, const RunnerChoice& choice, std::size_t step);

}  // namespace vitrine
