#pragma once

#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "core/decode/search.h"

namespace vitrine {

/// What texts that grow side by side may go on with: all that a search needs to know of a model. Tests put tables in its place.
class NextScores {
 public:
  /// A text that was there before, by its number, and one token more.
  struct Growth {
    std::size_t parent = 0;
    TokenId id = 0;
  };
  virtual ~NextScores() = default;
  /// Texts 0, 1, ... are then the prompts.
  /// @return  [prompts, vocabulary] logits of the next token, good until the next call; may be written
  virtual TensorView<float, 2> begin(std::span<const std::span<const TokenId>> prompts) = 0;
  /// Text i is then what growth i says; texts that nobody goes on with are forgotten. @return  [growths, vocabulary]
  virtual TensorView<float, 2> grow(std::span<const Growth> growths) = 0;
  /// Logarithm of the sum of exp(logit).
  virtual double log_sum(std::span<const float> logits) const;
};

/// A model's scores. All texts take one pass a step; a cache is copied only where two texts go on with one, and then from where the
/// copy's own rows part from those that are wanted.
class ModelScores : public NextScores {
 public:
  explicit ModelScores(const SearchProblem& problem) : ModelScores(problem, problem.context) {}
  /// The same with other observers.
  ModelScores(const SearchProblem& problem, const ForwardContext& context) : context_(context), format_(problem.kv_format), source_(problem.source) {}
  TensorView<float, 2> begin(std::span<const std::span<const TokenId>> prompts) override;
  TensorView<float, 2> grow(std::span<const Growth> growths) override;
  double log_sum(std::span<const float> logits) const override;
  /// Hears of rows after the final norm, [rows, width]; of the prompts all, later one a text. RowRef::sequence is the text's number.
  std::function<void(std::span<const RowRef> rows, TensorView<const float, 2> hidden)> on_hidden{};

 private:
  struct Text {
    KvCache cache;
    std::vector<std::size_t> rows{};  // of the cache: equal numbers are equal keys and values
  };
  TensorView<float, 2> run(std::span<const Segment> segments);
  void make_room(std::size_t texts);
  void copy(const Text& from, Text& to);
  std::size_t closest(const Text& wanted, std::span<const char> taken) const;

  const ForwardContext& context_;
  KvFormat format_;
  KvCache* source_;
  std::deque<Text> texts_;         // those of live_, and some whose memory waits
  std::vector<std::size_t> live_;  // [texts] its place in texts_
  std::vector<float> logits_;
  std::size_t next_row_ = 0;
};

/// Logarithm of the sum of exp(logit), from the largest.
double log_sum_of(Ops& ops, std::span<const float> logits);

/// A token with what the model itself says of it, and of the `likeliest` tokens of its step. @param logits  [vocabulary], as they came
GeneratedToken told_token(TokenId id, std::span<const float> logits, double log_sum, std::size_t likeliest);

/// Tokens that can be made behind the problem's prompt: max_tokens, or what the context leaves. The last one need not go into the model.
std::size_t most_tokens(const SearchProblem& problem);

}  // namespace vitrine
