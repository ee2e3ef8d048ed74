#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "core/decode/grammar/network.h"

namespace vitrine {

/// Runs a network: a pushdown automaton whose states are made as texts need them and kept, so that a second visit costs a look
/// into a table. A state is a set of pairs (node, what follows its rule), and what follows a rule is again such a set: all stacks
/// that a text can stand in, with their common parts once, so that ambiguity does not multiply. Equal sets have equal numbers:
/// a state is one number, copied freely, good for as long as the automaton. One thread at a time.
class GrammarAutomaton {
 public:
  using State = std::uint32_t;
  static constexpr State dead = 0;

  explicit GrammarAutomaton(std::shared_ptr<const GrammarNetwork> network);

  State start() const { return start_; }
  /// `dead` where the byte cannot follow. @throws Error where the states outgrow memory
  State step(State state, std::uint8_t byte) {
    const std::uint32_t table = sets_[state].table;
    if (table != no_table) {
      const State known = tables_[table + network_->class_of[byte]];
      if (known != unknown) return known;
    }
    return make_step(state, network_->class_of[byte]);
  }
  /// Behind the tokens that a state names: `matches(edge)` says which edges the token takes.
  template <typename Matches>
  State step_token(State state, const Matches& matches) {
    if (!sets_[state].names_tokens) return dead;
    begin_closure();
    for (const Pair& pair : copy_of(state)) {
      if (pair.node >= first_marker) continue;
      for (const auto& edge : network_->token_edges.of(pair.node)) {
        if (matches(edge)) reach({edge.target, pair.behind});
      }
    }
    return finish_closure();
  }
  State united(State a, State b);

  bool may_end(State state) const { return sets_[state].ends; }
  /// Whether some text can still follow.
  bool goes_on(State state) const { return sets_[state].goes_on; }
  bool names_tokens(State state) const { return sets_[state].names_tokens; }
  /// Calls see(edge) for the named tokens that may come next.
  template <typename See>
  void each_token_edge(State state, const See& see) const {
    for (const Pair& pair : pairs(state)) {
      if (pair.node >= first_marker) continue;
      for (const auto& edge : network_->token_edges.of(pair.node)) see(edge);
    }
  }

  /// The state with all that lies more than `levels` rules below forgotten: states that differ there alone become one. Where a
  /// text leaves what is known, reaches_unknown() says so.
  State shortened(State state, int levels);
  bool reaches_unknown(State state) const { return sets_[state].unknown; }

  /// The least number of bytes (or named tokens) to an end; 0 where the state may end.
  std::uint32_t distance_to_end(State state);

  const GrammarNetwork& network() const { return *network_; }
  std::size_t memory_bytes() const { return pairs_.capacity() * sizeof(Pair) + sets_.capacity() * sizeof(Set) + tables_.capacity() * sizeof(State); }

 private:
  struct Pair {
    std::uint32_t node;
    std::uint32_t behind;  // the set that follows the node's rule
    auto operator<=>(const Pair&) const = default;
  };
  struct Set {
    std::size_t begin = 0;  // of its pairs, in order
    std::uint32_t size = 0;
    std::uint32_t table = UINT32_MAX;
    std::uint32_t shortened = UINT32_MAX, levels = 0;  // the last answer of shortened()
    std::uint32_t distance = UINT32_MAX;
    bool ends = false, unknown = false, goes_on = false, names_tokens = false;
  };
  // Nodes of no rule: the end of the text, and what was forgotten.
  static constexpr std::uint32_t text_end = UINT32_MAX, forgotten = UINT32_MAX - 1, first_marker = forgotten;
  static constexpr std::uint32_t no_table = UINT32_MAX;
  static constexpr State unknown = UINT32_MAX;

  std::span<const Pair> pairs(std::uint32_t set) const { return std::span(pairs_).subspan(sets_[set].begin, sets_[set].size); }
  /// New sets move the pairs of old ones.
  const std::vector<Pair>& copy_of(std::uint32_t set);
  State make_step(State state, std::uint8_t byte_class);
  static std::uint64_t hash_of(std::span<const Pair> pairs);
  std::uint32_t intern(std::vector<Pair>& pairs);
  void grow_buckets();
  std::uint32_t shortened_set(std::uint32_t set, int levels);

  void begin_closure();
  void reach(Pair pair);
  void call(const GrammarNetwork::Call& call, std::uint32_t behind);
  State finish_closure();

  std::shared_ptr<const GrammarNetwork> network_;
  std::vector<Pair> pairs_;
  std::vector<Set> sets_;
  std::vector<State> tables_;  // [table, class]
  std::vector<std::uint32_t> buckets_;  // open addressing over the pairs
  State start_ = dead;
  std::uint32_t forgotten_set_ = 0;
  // Of the closure under way.
  std::vector<Pair> found_, work_, source_;
  std::unordered_set<std::uint64_t> seen_;
  std::vector<std::vector<Pair>> called_;   // by rank of the rule: what follows it
  std::vector<std::uint32_t> called_ranks_; // a heap, the lowest first
};

}  // namespace vitrine
