#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/decode/hypotheses.h"

// What the searches that keep several texts at a time share.

namespace vitrine {

/// A search's problem without the model.
struct BeamTask {
  std::span<const TokenId> prompt;
  std::span<const TokenId> source{};
  std::size_t max_tokens = 0;  ///< with one that ends the text
  std::size_t texts = 1;
  std::span<const TokenId> ends{};
  const SamplerChain& samplers;
  bool draws_tokens = false;
  Draws draws{};
  const DecodeValues& values;
  std::size_t likeliest = 0;
  std::function<void(std::size_t length)> on_step{};  ///< may be empty
  const Tokenizer* tokenizer = nullptr;
  std::size_t vocabulary = 0;
  const GrammarMatcher* grammar = nullptr;
};
/// @throws Error (usage) where a search of that many beams cannot give as many texts
BeamTask beam_task(const SearchProblem& problem);

/// Options of all of them.
struct BeamOptions {
  DecodeOption beams, length_penalty, early_stopping;
};
const BeamOptions& beam_options();

enum class EarlyStopping {
  yes,    ///< as soon as there are as many complete texts as beams
  no,     ///< when no beam is better at its present length than the worst complete text
  never,  ///< when no beam can become better than it
};

struct BeamSettings {
  std::size_t beams = 1;
  double length_penalty = 1.0;  ///< scores are sums of log-probabilities over length^penalty
  EarlyStopping early = EarlyStopping::no;
  std::size_t max_tokens = 0;
};
/// @throws Error (usage)
BeamSettings beam_settings(const BeamTask& task);

/// A text that may go on.
struct Beam {
  std::vector<GeneratedToken> tokens{};
  std::vector<TokenId> made{};  ///< their ids
  double score = 0.0;           ///< sum of log-probabilities after the samplers
  SamplerChain samplers{};
  std::optional<GrammarMatcher> grammar{};
  std::size_t row = 0;          ///< of its scores; the number of its text in NextScores
};

/// What a search begins with.
std::vector<Beam> first_beam(const BeamTask& task);

/// A beam and what it may go on with.
struct Candidate {
  std::size_t beam = 0;  ///< place in the list of beams
  TokenId id = 0;
  double score = 0.0;
};

/// The best complete texts, as many as there are beams. Rules of transformers' beam search.
class Complete {
 public:
  explicit Complete(const BeamSettings& settings, std::size_t capacity) : settings_(settings), capacity_(capacity) {}
  /// @param sum     of log-probabilities
  /// @param length  tokens, with one that ended the text
  void add(GeneratedText text, double sum, std::size_t length);
  /// Whether none that goes on, the best with this sum at this length, is awaited.
  bool settled(double best_sum, std::size_t length) const;
  std::vector<GeneratedText> take() { return std::move(texts_); }
  /// The best `count`, best first.
  static std::vector<GeneratedText> best(std::vector<GeneratedText> texts, std::size_t count);

 private:
  double scaled(double sum, std::size_t length) const;

  BeamSettings settings_;
  std::size_t capacity_;
  std::vector<GeneratedText> texts_;
};

/// Scores of whatever beams may go on with.
class Expansion {
 public:
  Expansion(NextScores& model, const BeamTask& task) : model_(model), task_(task) {}
  using Change = std::function<void(std::span<float> scores)>;

  /// Log-probabilities of the model, changed by `before`, then by each beam's samplers, added to the beam's score.
  /// @param logits  [texts, vocabulary] of NextScores; beams name their rows
  void score(TensorView<float, 2> logits, std::span<Beam> beams, const Change& before = {});
  /// The best `count` that can be said at all, best first; of equals the lower beam, then the lower token. Rank r of a beam's own
  /// continuations, from 1 on, costs r * sibling_penalty.
  std::vector<Candidate> best(std::size_t count, double sibling_penalty = 0.0) const;
  /// As many drawn one after another, none twice, by their probabilities; best first.
  std::vector<Candidate> drawn(std::size_t count) const;
  Candidate at(std::size_t beam, TokenId id) const { return {beam, id, sum(beam, static_cast<std::size_t>(id))}; }

  bool ends(TokenId id) const;
  /// Whether a text is whole with a token: one that ends it, or the last of a grammar in a vocabulary that has none of these.
  bool stops(const Candidate& candidate) const;
  /// What a beam and a token are, when the text ends with them or goes on. @param row  of the new text
  GeneratedText text_of(const Candidate& candidate) const;
  std::vector<GeneratedToken> tokens_of(const Candidate& candidate) const;
  Beam grown(const Candidate& candidate, std::size_t row) const;

 private:
  /// A beam's grammar behind the token; none where it follows none.
  std::optional<GrammarMatcher> grammar_behind(const Candidate& candidate) const;
  double sum(std::size_t beam, std::size_t id) const { return beams_[beam].score + scores_[beam * vocabulary_ + id]; }
  std::span<const float> row_of(std::size_t beam) const { return {scores_.data() + beam * vocabulary_, vocabulary_}; }

  NextScores& model_;
  const BeamTask& task_;
  TensorView<float, 2> logits_;
  std::span<Beam> beams_;
  std::size_t vocabulary_ = 0;
  std::vector<float> scores_;     // [beams, vocabulary] after the samplers
  std::vector<double> log_sums_;  // [beams]
};

/// Candidates that are looked at, so that as many as there are beams do not end a text.
std::size_t candidates_of(std::size_t beams, const BeamTask& task);
/// The beams that these candidates are, and the model's scores of what follows. `beams` are replaced.
TensorView<float, 2> go_on(NextScores& model, const Expansion& expansion, std::span<const Candidate> going, std::vector<Beam>& beams);

/// The searches, over any scores.
std::vector<GeneratedText> beam_search(NextScores& model, const BeamTask& task);
std::vector<GeneratedText> diverse_beam_search(NextScores& model, const BeamTask& task);
std::vector<GeneratedText> constrained_beam_search(NextScores& model, const BeamTask& task);

}  // namespace vitrine
