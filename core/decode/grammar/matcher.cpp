#include "core/decode/grammar/matcher.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_map>

#include "core/base/error.h"
#include "core/decode/grammar/automaton.h"

namespace vitrine {
namespace {

// How much of its stack a cached mask knows: more make more masks, fewer leave more tokens to be looked at each time.
constexpr int known_levels = 4;
constexpr std::size_t most_cached_bytes = 64 << 20;
using State = GrammarAutomaton::State;

/// Which token each name of the grammar is.
std::vector<TokenId> resolve(const GrammarNetwork& network, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (const NamedToken& token : network.tokens) {
    if (token.id) {
      if (static_cast<std::size_t>(*token.id) >= tokenizer.vocabulary_size()) {
        throw Error({network.where, "a token below " + std::to_string(tokenizer.vocabulary_size()), token.text, ""});
      }
      ids.push_back(*token.id);
      continue;
    }
    const std::vector<Token> found = tokenizer.encode(token.text, {.add_special = false, .parse_special = true});
    if (found.size() != 1) {
      throw Error({network.where, "one token of the model", quoted(token.text) + ", which is " + std::to_string(found.size()), "name it by its number, as in <[1000]>"});
    }
    ids.push_back(found.front().id);
  }
  return ids;
}

}  // namespace

/// What copies of a matcher share: the grammar's states and masks, made as they are needed.
class GrammarMatcher::Shared {
 public:
  Shared(const Grammar& grammar, const Tokenizer& tokenizer, std::shared_ptr<const GrammarVocabulary> vocabulary)
      : automaton(grammar.network()), vocabulary_(std::move(vocabulary)), named_(resolve(automaton.network(), tokenizer)) {}

  /// Behind a token that does not end the text.
  State behind(State state, TokenId token) {
    if (token < 0 || static_cast<std::size_t>(token) >= vocabulary_->size()) return GrammarAutomaton::dead;
    const bool end = vocabulary_->ends_text(token);
    const State by_name = automaton.step_token(state, [&](const GrammarNetwork::TokenEdge& edge) {
      return edge.other ? !end && named_[edge.token] != token : named_[edge.token] == token;
    });
    const std::string& piece = vocabulary_->piece(token);
    if (piece.empty()) return by_name;
    for (const char byte : piece) {
      state = automaton.step(state, static_cast<std::uint8_t>(byte));
      if (state == GrammarAutomaton::dead) return by_name;
    }
    return automaton.united(by_name, state);
  }

  /// One bit a token, of those that may come next. Good until the next call.
  const std::vector<std::uint64_t>& allowed(State state) {
    const Mask& mask = mask_of(automaton.shortened(state, known_levels));
    allowed_ = mask.allowed;
    for (const std::uint32_t node : mask.open) look_below(state, node);
    if (automaton.names_tokens(state)) allow_named(state);
    if (automaton.may_end(state)) {
      for (const TokenId end : vocabulary_->ends()) allow(allowed_, end);
    }
    return allowed_;
  }

  const GrammarVocabulary& vocabulary() const { return *vocabulary_; }

  GrammarAutomaton automaton;

 private:
  /// Of a state whose stack is known in part.
  struct Mask {
    std::vector<std::uint64_t> allowed;  ///< whatever the rest is
    std::vector<std::uint32_t> open;     ///< nodes of the tree at which it depends on the rest
  };

  static void allow(std::vector<std::uint64_t>& bits, TokenId token) {
    bits[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (static_cast<std::size_t>(token) % 64);
  }

  const Mask& mask_of(State shortened) {
    const auto known = masks_.find(shortened);
    if (known != masks_.end()) return known->second;
    Mask mask = make_mask(shortened);
    const std::size_t bytes = mask.allowed.size() * sizeof(std::uint64_t) + mask.open.size() * sizeof(std::uint32_t);
    if (cached_bytes_ + bytes > most_cached_bytes) {
      masks_.clear();
      cached_bytes_ = 0;
    }
    cached_bytes_ += bytes;
    return masks_.emplace(shortened, std::move(mask)).first->second;
  }

  Mask make_mask(State shortened) {
    Mask mask;
    mask.allowed.resize((vocabulary_->size() + 63) / 64);
    path_.assign(vocabulary_->longest() + 1, GrammarAutomaton::dead);
    path_[0] = shortened;
    left_known_.assign(vocabulary_->longest() + 1, automaton.reaches_unknown(shortened));
    const auto tree = vocabulary_->tree();
    for (std::uint32_t node = 0; node < tree.size();) {
      const std::size_t depth = tree[node].depth;
      const State state = automaton.step(path_[depth - 1], tree[node].byte);
      if (state == GrammarAutomaton::dead) {
        if (left_known_[depth - 1] && !vocabulary_->tokens_below(node).empty()) mask.open.push_back(node);
        node = tree[node].behind;
        continue;
      }
      path_[depth] = state;
      left_known_[depth] = left_known_[depth - 1] || automaton.reaches_unknown(state);
      for (const TokenId token : vocabulary_->tokens_at(node)) allow(mask.allowed, token);
      ++node;
    }
    return mask;
  }

  /// Walks the whole state down to a node of the tree and through all below it.
  void look_below(State state, std::uint32_t top) {
    const auto tree = vocabulary_->tree();
    const std::size_t depth_of_top = tree[top].depth;
    std::uint32_t above = tree[top].parent;
    prefix_.resize(depth_of_top - 1);
    for (std::size_t depth = depth_of_top - 1; depth > 0; --depth) {
      prefix_[depth - 1] = tree[above].byte;
      above = tree[above].parent;
    }
    for (const std::uint8_t byte : prefix_) {
      state = automaton.step(state, byte);
      if (state == GrammarAutomaton::dead) return;
    }
    path_.resize(vocabulary_->longest() + 1);
    path_[depth_of_top - 1] = state;
    for (std::uint32_t node = top; node < tree[top].behind;) {
      const std::size_t depth = tree[node].depth;
      path_[depth] = automaton.step(path_[depth - 1], tree[node].byte);
      if (path_[depth] == GrammarAutomaton::dead) {
        node = tree[node].behind;
        continue;
      }
      for (const TokenId token : vocabulary_->tokens_at(node)) allow(allowed_, token);
      ++node;
    }
  }

  void allow_named(State state) {
    automaton.each_token_edge(state, [&](const GrammarNetwork::TokenEdge& edge) {
      if (!edge.other) return allow(allowed_, named_[edge.token]);
      for (std::size_t i = 0; i < vocabulary_->size(); ++i) {
        const auto token = static_cast<TokenId>(i);
        if (token != named_[edge.token] && !vocabulary_->ends_text(token)) allow(allowed_, token);
      }
    });
  }

  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  std::vector<TokenId> named_;
  std::unordered_map<State, Mask> masks_;
  std::size_t cached_bytes_ = 0;
  std::vector<std::uint64_t> allowed_;
  std::vector<State> path_;          // by depth in the tree
  std::vector<bool> left_known_;     // whether the unknown was reached on the way there
  std::vector<std::uint8_t> prefix_;
};

GrammarMatcher::GrammarMatcher(const Grammar& grammar, const Tokenizer& tokenizer)
    : GrammarMatcher(grammar, tokenizer, std::make_shared<const GrammarVocabulary>(tokenizer)) {}

GrammarMatcher::GrammarMatcher(const Grammar& grammar, const Tokenizer& tokenizer, std::shared_ptr<const GrammarVocabulary> vocabulary)
    : shared_(std::make_shared<Shared>(grammar, tokenizer, std::move(vocabulary))), state_(shared_->automaton.start()) {}

bool GrammarMatcher::accepts(TokenId token) const {
  if (ended_) return false;
  if (shared_->behind(state_, token) != GrammarAutomaton::dead) return true;
  return may_end() && shared_->vocabulary().ends_text(token);
}

void GrammarMatcher::accept(TokenId token) {
  VITRINE_CHECK(!ended_);
  const State next = shared_->behind(state_, token);
  if (next != GrammarAutomaton::dead) {
    state_ = next;
  } else if (may_end() && shared_->vocabulary().ends_text(token)) {
    ended_ = true;
  } else {
    throw Error({shared_->automaton.network().where, "a token that the grammar allows here", "token " + std::to_string(token), ""});
  }
}

bool GrammarMatcher::may_end() const { return shared_->automaton.may_end(state_); }
bool GrammarMatcher::must_end() const { return may_end() && !shared_->automaton.goes_on(state_); }
bool GrammarMatcher::knows_ends() const { return !shared_->vocabulary().ends().empty(); }
std::size_t GrammarMatcher::bytes_to_end() const { return ended_ ? 0 : shared_->automaton.distance_to_end(state_); }

std::size_t GrammarMatcher::mask(std::span<float> logits) const {
  constexpr float refused = -std::numeric_limits<float>::infinity();
  if (ended_) {
    std::ranges::fill(logits, refused);
    return 0;
  }
  const std::vector<std::uint64_t>& allowed = shared_->allowed(state_);
  std::size_t count = 0;
  for (std::size_t begin = 0; begin < logits.size(); begin += 64) {
    const std::uint64_t bits = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
    const std::size_t end = std::min(begin + 64, logits.size());
    count += static_cast<std::size_t>(std::popcount(bits));
    if (bits == 0) {
      std::fill(logits.begin() + static_cast<std::ptrdiff_t>(begin), logits.begin() + static_cast<std::ptrdiff_t>(end), refused);
      continue;
    }
    if (bits == ~std::uint64_t{0}) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (!(bits >> (i - begin) & 1)) logits[i] = refused;
    }
  }
  return count;
}

}  // namespace vitrine
