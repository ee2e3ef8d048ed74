#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/model/forward.h"
#include "core/train/tape_ops.h"

// Derivatives of a number that is made of a model's logits or labels, by every value on the way there: the one forward pass under a tape,
// then back. In f32, whatever type the weights have.

namespace vitrine {

/// Whose derivative is wanted: the sum of what the functions return.
struct Objective {
  /// Whether the logits of a row count; all rows where it is empty.
  std::function<bool(const RowRef& row)> wants{};
  /// Of one row's logits. @param slope  [vocabulary] d result / d logits, zeros at first
  std::function<double(const RowRef& row, std::span<const float> logits, std::span<float> slope)> of_logits{};
  /// Of what the model's readout says. @param slope  [labels], or [width] of a pooler alone
  std::function<double(const Readout& readout, std::span<float> slope)> of_readout{};
};

/// logits[target] - logits[against] of one row (without `against` where it is negative).
Objective logit_difference(RowRef row, TokenId target, TokenId against = -1);
/// log softmax(logits)[target] of one row.
Objective log_probability_of(RowRef row, TokenId target);

/// Is given derivatives as an Observer is given values, in the reverse order of the pass.
class GradientReader {
 public:
  virtual ~GradientReader() = default;
  virtual bool wants(const ProbePoint& point) const = 0;
  /// @param rows      [rows]
  /// @param gradient  [rows, heads, width] d objective / d value; dies with the call
  virtual void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<const float, 3> gradient) = 0;
};

/// What happens where an observer writes other numbers than there were.
enum class WrittenFlow {
  stops,   ///< they depend on nothing: ablation, patching
  passes,  ///< as if something were added that does not depend on the text: steering
};

struct GradientContext {
  const Model& model;
  Ops& ops;  ///< of exact precision
  const KernelChoice& kernel;
  Run& run;
  std::span<Observer* const> observers{};
  WrittenFlow written = WrittenFlow::stops;
};

/// One sequence; everything it looks at must outlive the pass.
struct GradientText {
  std::span<const TokenId> ids;                ///< of an encoder-decoder, what the decoder is given
  std::span<const TokenId> source{};           ///< of an encoder-decoder
  std::span<const std::int32_t> types{};
  BitView allowed{};                           ///< of a query stream, as in Segment
  std::span<const std::uint32_t> targets{};
};

/// A forward pass that can be gone back. It holds what its operations need: about 5,000 numbers a row and block of SmolLM2-135M.
class TapedPass {
 public:
  /// Runs the texts, sequence i being the text i, and adds up the objective. `reader` must outlive the pass.
  /// @throws Error where a point that is read has no derivative, or the kernel's rule has none
  TapedPass(const GradientContext& context, std::span<const GradientText> texts, const Objective& objective, GradientReader& reader);
  ~TapedPass();

  double value() const { return value_; }
  /// Gives the reader the derivatives at all points it wants.
  void pull_back();
  /// Gives the reader the multipliers between this pass and another of texts of the same lengths (Tape::pull_back). They add up
  /// where the objective is linear in the logits.
  void pull_back_to(const TapedPass& other);

 private:
  class Watch;
  class Reading;
  void encode_sources(const ForwardContext& context, std::span<const GradientText> texts);
  void add_logits(const Objective& objective, std::span<const RowRef> rows, TensorView<float, 2> logits);
  void add_readout(const Objective& objective, const Readout& readout);

  Run& run_;
  Tape tape_;
  TapeOps ops_;
  Workspace workspace_;
  std::vector<std::unique_ptr<KvCache>> caches_, memories_;
  double value_ = 0.0;
};

/// Value and derivatives in one call.
double differentiate(const GradientContext& context, std::span<const GradientText> texts, const Objective& objective, GradientReader& reader);

}  // namespace vitrine
