#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/model/model_runner.h"
#include "core/train/gradients.h"

// How much each token of a text adds to a number that a model makes of it.

namespace vitrine {

enum class AttributedNumber { logit, log_probability };

/// The logit of `target` at `position` (less that of `against`), or its log-probability in nats.
struct AttributionQuestion {
  ModelText text;
  std::size_t position = 0;  ///< of the row whose logits are read
  TokenId target = 0;
  TokenId against = -1;      ///< < 0: none
  AttributedNumber number = AttributedNumber::logit;
};

/// What stands for a token that is not there.
enum class BaselineKind {
  zero,   ///< an embedding of zeros: a norm makes a step of the way from there
  mean,   ///< the mean of the text's embeddings
  token,  ///< the embedding of a token
};

struct AttributionOptions {
  std::optional<std::size_t> steps{};  ///< points of an integral of a fixed rule; none: as many as `missing` takes
  double missing = 1e-3;               ///< share of the difference that the pieces of an integral may miss together, each by its size
  std::size_t most_gradients = 600;    ///< of an integral without fixed steps; secants stand for what they do not reach
  BaselineKind baseline = BaselineKind::mean;
  TokenId baseline_token = 0;
};

/// Scores of tokens in the unit of the question's number, unless the method says else.
struct AttributionResult {
  std::vector<double> scores;          ///< [tokens]; of an encoder-decoder the source's
  double value = 0.0;                  ///< of the text
  std::optional<double> baseline{};    ///< of the text with every embedding replaced
  /// value - baseline - sum of the scores, of methods whose scores add up to the difference
  std::optional<double> rest{};
  std::optional<std::size_t> gradients{};  ///< places that an integral differentiated at
  std::vector<double> doubts{};            ///< [tokens] how far an integral's scores may move with more gradients; empty: not known
  double by_secants = 0.0;                 ///< share of an integral's way that secants stand for (path_integral.h)
};

struct AttributionInput {
  const ModelRunner& runner;  ///< of exact precision where derivatives are taken
  const AttributionQuestion& question;
  const AttributionOptions& options;
};

/// Extension point: probes/attribution/<name>.cpp; the comment at the head of the file defines it and names its source.
struct Attribution {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  std::string_view unit;  ///< "logits or nats", "share", ...
  AttributionResult (*run)(const AttributionInput& input);
  bool by_derivatives = true;  ///< which are those of f32
};

std::span<const Attribution* const> all_attributions();
/// @throws Error (usage) listing those there are
const Attribution& find_attribution(std::string_view name);

/// @throws Error (usage) where the model has no such row, token or logits, or the precision is not exact where derivatives are taken
AttributionResult attribute(const Attribution& method, const AttributionInput& input);

/// A text as a function of its token embeddings (hook_embed; of an encoder-decoder the source's).
class EmbeddedText {
 public:
  explicit EmbeddedText(const AttributionInput& input);

  /// [tokens, width]
  const Numbers& embeddings() const { return embeddings_; }
  Numbers baseline() const;
  /// The question's number for each version of the embeddings, many in one pass.
  std::vector<double> values(std::span<const Numbers> versions) const;
  /// The same with one row after another replaced by that of `base`: what a row cannot change is not run again. [tokens]
  struct WithoutEach {
    double value = 0.0;           ///< of the text
    std::vector<double> without;  ///< [tokens]
  };
  WithoutEach without_each(const Numbers& base) const;
  /// The same with its derivatives, [tokens, width] each.
  struct Slopes {
    std::vector<double> values;
    std::vector<Numbers> gradients;
  };
  Slopes slopes(std::span<const Numbers> versions) const;
  /// m with sum(m * (from - to)) == value(from) - value(to), the step-by-step secants of Tape::pull_back.
  struct Multipliers {
    double from = 0.0, to = 0.0;  ///< values
    Numbers numbers;              ///< [tokens, width]
  };
  Multipliers multipliers(const Numbers& from, const Numbers& to) const;

 private:
  ProbePoint point() const;
  Objective objective(std::vector<double>& values) const;

  AttributionInput input_;
  Numbers embeddings_;
};

/// a * x + (1 - a) * y
Numbers between(const Numbers& x, const Numbers& y, double a);
/// Of each row the sum of g * (x - y). [rows]
std::vector<double> products_by_row(const Numbers& g, const Numbers& x, const Numbers& y);

/// Places in (0, 1) and weights of Gauss and Legendre's rule, exact for polynomials up to degree 2 * count - 1.
struct QuadraturePoint {
  double place, weight;
};
std::vector<QuadraturePoint> gauss_legendre(std::size_t count);

}  // namespace vitrine
