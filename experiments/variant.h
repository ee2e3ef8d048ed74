#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/model/forward.h"
#include "experiments/layered_ops.h"
#include "experiments/variant_spec.h"
#include "probes/metrics/metric.h"

namespace vitrine {

/// Queries, keys as they were multiplied, normalisers and thresholds of every block of one sequence.
class AttentionCapture : public Observer {
 public:
  AttentionCapture(const ModelSpec& spec, KvFormat kv_format, Ops& ops, const PatternRule& rule)
      : spec_(spec), kv_format_(kv_format), ops_(ops), rule_(rule), blocks_(spec.blocks.size()) {}
  Access access(const ProbePoint& point) const override;
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;
  /// The whole map of a head, [tokens, tokens], row by row.
  std::vector<float> map(std::size_t block, std::size_t head, std::size_t tokens) const;

 private:
  struct Block {
    std::vector<float> q, k, normalizer, threshold;  // [rows, heads, d_head], [rows, kv_heads, d_head], [rows, heads], [rows, heads]
  };
  const ModelSpec& spec_;
  KvFormat kv_format_;
  Ops& ops_;
  PatternRule rule_;
  std::vector<Block> blocks_;
};

/// A variant that runs; several share one pool of threads.
class Variant {
 public:
  Variant(VariantSpec spec, Model model, ThreadPool& pool);
  /// The model of `base` after the shortcuts of the spec. @param base  stays as it is  @throws Error as apply_shortcuts
  Variant(VariantSpec spec, const Model& base, const ShortcutInputs& inputs, ThreadPool& pool);

  const VariantSpec& spec() const { return spec_; }
  const Model& model() const { return model_; }
  Ops& ops() { return ops_.top(); }
  /// What its shortcuts did.
  const ShortcutReport& report() const { return report_; }

  /// What one text gives.
  struct Output {
    std::vector<float> logits;  ///< [tokens, vocabulary]; empty for a model without a head
    std::vector<double> embedding;  ///< mean of the rows after the final norm
    std::unique_ptr<AttentionCapture> attention;
  };
  /// @param more  observers besides the own
  Output run(std::span<const TokenId> ids, std::span<Observer* const> more = {});

  struct Timing {
    double prefill_seconds = 0.0;
    double decode_seconds = 0.0;  ///< of `decode_tokens`; 0 for an encoder
  };
  Timing time(std::span<const TokenId> prompt, std::size_t decode_tokens);

 private:
  VariantSpec spec_;
  Model model_;
  LayeredOps ops_;
  ShortcutReport report_;
  KernelChoice kernel_;
  Workspace workspace_;
  Run run_;
};

/// Whether heads of both are the same heads, so that their maps may be compared.
bool has_same_heads(const ModelSpec& a, const ModelSpec& b);

/// One text in two runs as metrics see it. Both outputs must outlive the result.
TextRuns text_runs(const Model& model, std::span<const TokenId> ids, const Variant::Output& reference, const Variant::Output& variant,
                   ThreadPool& pool);

/// The model with its block matrices rounded to a type, in all blocks that share one. @throws Error where a matrix has that type already: against itself
/// every type looks free of error
Model with_weights(const Model& model, DType type, ThreadPool& pool, Run& run);
/// The model with Gaussian noise on every matrix that another form of it holds otherwise, as far from its own as the other's.
Model with_noise_as_far_as(const Model& model, const Model& other, std::uint64_t seed, ThreadPool& pool);

}  // namespace vitrine
