#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/decode/option.h"

namespace vitrine {

/// Uniform numbers in [0, 1): a function of seed, text, step and the sampler that asks alone (SplitMix64, Steele et al. 2014), so that a
/// text does not depend on what else was drawn, on the number of threads or on the texts that share its pass.
struct Draws {
  std::uint64_t seed = 0;
  std::uint64_t text = 0;  ///< number of the text among those of a run
  double number(std::uint64_t step, std::uint64_t stream) const;
};

/// What stands before the token that is to be chosen.
struct TextSoFar {
  std::span<const TokenId> prompt;
  std::span<const TokenId> source;  ///< of an encoder-decoder
  std::span<const TokenId> made;
  Draws draws{};
};

/// One rule that changes the scores of the next token for one text. Its state is the text's own; beams copy it.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// @param scores  [vocabulary] logits or log-probabilities, no NaN; -inf: cannot be chosen. What is removed becomes -inf
  virtual void apply(std::span<float> scores, const TextSoFar& text) = 0;
  /// Hears which token was chosen, and the scores that the whole chain left.
  virtual void chosen(TokenId, std::span<const float> /*scores*/) {}
  virtual std::unique_ptr<Sampler> clone() const = 0;
};

/// What a sampler may need to know of the model and the run.
struct SamplerModel {
  std::size_t vocabulary = 0;
  const Tokenizer* tokenizer = nullptr;  ///< null: texts of options cannot be read
  std::span<const TokenId> ends{};       ///< tokens that end a text
  std::size_t max_tokens = 0;            ///< the length at which a text ends in any case
};

/// What a sampler is for, which says where it stands unless the user says it.
enum class SamplerRole {
  rule,     ///< what may be said at all: always in force, before what was put in order unless it is named there
  penalty,  ///< what becomes less likely by what was said
  shape,    ///< the distribution that is drawn from: changes nothing where the likeliest token is taken
};

/// Extension point: core/decode/samplers/<name>.cpp.
struct SamplerKind {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  SamplerRole role = SamplerRole::shape;
  int place = 0;  ///< among those of its role in the default order
  std::vector<DecodeOption> options;  ///< the first turns it on
  /// Null where these values change nothing. @throws Error (usage)
  std::unique_ptr<Sampler> (*make)(const DecodeValues& values, const SamplerModel& model) = nullptr;
};

std::span<const SamplerKind* const> all_samplers();

/// Samplers in the order in which they are applied.
class SamplerChain {
 public:
  SamplerChain() = default;
  SamplerChain(SamplerChain&&) = default;
  SamplerChain& operator=(SamplerChain&&) = default;
  SamplerChain copy() const;
  bool empty() const { return samplers_.empty(); }
  void add(std::unique_ptr<Sampler> sampler) { samplers_.push_back(std::move(sampler)); }
  /// What is no number cannot be chosen. @throws Error where nothing is left that can be
  void apply(std::span<float> scores, const TextSoFar& text);
  void chosen(TokenId id, std::span<const float> scores);

 private:
  std::vector<std::unique_ptr<Sampler>> samplers_;
};

/// An order that a project publishes.
struct SamplerOrder {
  std::string_view name;
  std::string_view samplers;  ///< names with commas between them
};
std::span<const SamplerOrder> known_orders();

/// @param words  names with commas between them, the name of a known order, or empty for the default; rules that are not named come first
/// @throws Error (usage) for a name that is none, or is said twice
std::vector<const SamplerKind*> sampler_order(std::string_view words);

/// The samplers that the values ask for. @throws Error (usage) where a value was set of which no sampler in the order hears
SamplerChain make_chain(std::span<const SamplerKind* const> order, const DecodeValues& values, const SamplerModel& model);

}  // namespace vitrine
