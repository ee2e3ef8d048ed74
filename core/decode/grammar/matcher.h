#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/decode/grammar/grammar.h"
#include "core/decode/grammar/vocabulary.h"

namespace vitrine {

/// Holds a text that a model makes, token by token, to a grammar. A copy is a few words and goes its own way, as beams and drafts
/// need it; copies share what they have learnt of the grammar, so all copies of one matcher belong to one thread at a time.
///
/// The cheap order of decoding: sample, ask accepts(token), and only where that is no, mask() the logits and sample again.
/// Special tokens are refused unless the grammar names them (`<think>`, `<[12]>`, `!<think>`); the end of the text (EOS, end of
/// turn) is accepted where the grammar may end.
class GrammarMatcher {
 public:
  /// @throws Error where the grammar names a token that the tokenizer does not have
  GrammarMatcher(const Grammar& grammar, const Tokenizer& tokenizer);
  /// The same over a vocabulary that is there already: several grammars of one tokenizer share it.
  GrammarMatcher(const Grammar& grammar, const Tokenizer& tokenizer, std::shared_ptr<const GrammarVocabulary> vocabulary);

  /// Whether a token may come next.
  bool accepts(TokenId token) const;
  /// Goes on behind a token. @throws Error where accepts() is false, std::logic_error behind the end
  void accept(TokenId token);
  /// Whether the text may end here.
  bool may_end() const;
  /// Whether it has: an end was accepted.
  bool ended() const { return ended_; }
  /// Whether nothing but an end can follow.
  bool must_end() const;
  /// Whether the vocabulary has a token that says the end of a text.
  bool knows_ends() const;
  /// Sets the logits of tokens that may not come next to -infinity.
  /// @param logits  [vocabulary], or longer: what is behind the vocabulary is refused
  /// @return how many may come next; 0 where the vocabulary cannot say what the grammar wants
  std::size_t mask(std::span<float> logits) const;
  /// The least number of bytes to an end: what a limit on tokens can be compared with.
  std::size_t bytes_to_end() const;

 private:
  class Shared;
  std::shared_ptr<Shared> shared_;
  std::uint32_t state_ = 0;
  bool ended_ = false;
};

}  // namespace vitrine
