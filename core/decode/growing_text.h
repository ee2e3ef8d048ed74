#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/decode/hypotheses.h"

namespace vitrine {

/// @throws Error (usage) where somebody wants to see one token of one text after another go through the model, which these searches do not do
void require_unobserved(const SearchProblem& problem);

/// The same search of several problems, one after another: its texts are told token by token.
template <std::vector<GeneratedText> (*run)(const SearchProblem&)>
std::vector<std::vector<GeneratedText>> one_problem_at_a_time(std::span<const SearchProblem> problems) {
  std::vector<std::vector<GeneratedText>> results;
  for (const SearchProblem& problem : problems) results.push_back(run(problem));
  return results;
}

/// One text that a search makes token by token, with the samplers' state.
class GrowingText {
 public:
  /// @param number  of the text among the problem's
  GrowingText(const SearchProblem& problem, std::size_t number) : problem_(problem), number_(number), most_(most_tokens(problem)), samplers_(problem.samplers.copy()) {
    draws_ = problem.draws;
    draws_.text += number;
    if (problem.grammar) grammar_ = *problem.grammar;
  }
  /// What plain search takes of these scores: the likeliest token that samplers and grammar leave, or one that is drawn by the number of the
  /// step. @param scores  [vocabulary], which the samplers change
  TokenId choose(std::vector<float>& scores);
  /// Leaves what grammar and samplers leave. @param scores  [vocabulary]
  void narrow(std::span<float> scores);
  /// Puts the token there, unless it ends the text. @param scores  as choose() or narrow() left them  @param logits  the model's own
  void add(TokenId id, std::span<const float> scores, std::span<const float> logits);

  /// Tells of a pass that checked `drafted` tokens, of which the text kept some.
  void count_draft(std::size_t drafted, std::size_t kept);

  bool complete() const { return complete_ || made_.size() >= most_; }
  /// Tokens that may still be made.
  std::size_t left() const { return complete() ? 0 : most_ - made_.size(); }
  std::span<const TokenId> made() const { return made_; }
  const Draws& draws() const { return draws_; }
  SamplerChain samplers() const { return samplers_.copy(); }
  const std::optional<GrammarMatcher>& grammar() const { return grammar_; }
  const SearchProblem& problem() const { return problem_; }
  GeneratedText take() { return std::move(text_); }

 private:
  TextSoFar so_far() const { return {problem_.prompt, problem_.source_ids, made_, draws_}; }

  const SearchProblem& problem_;
  std::size_t number_, most_;
  Draws draws_;
  SamplerChain samplers_;
  std::optional<GrammarMatcher> grammar_{};
  std::vector<TokenId> made_{};
  GeneratedText text_{};
  bool complete_ = false;
};

/// The problem's texts, one after another.
/// @throws Error (usage) where somebody wants to see one token after another go through the model
template <typename Make>
std::vector<GeneratedText> one_by_one(const SearchProblem& problem, const Make& make) {
  require_unobserved(problem);
  std::vector<GeneratedText> texts;
  for (std::size_t number = 0; number < problem.texts; ++number) {
    GrowingText text(problem, number);
    if (text.left() > 0) make(text);
    texts.push_back(text.take());
  }
  return texts;
}

}  // namespace vitrine
