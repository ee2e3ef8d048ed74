#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/decode/grammar/gbnf.h"

namespace vitrine {

/// A grammar compiled: a network of nodes joined by bytes (UTF-8), tokens and calls of rules, without left recursion. Nodes are
/// numbered; what leads on without a byte is worked out in advance.
struct GrammarNetwork {
  struct ByteEdge {
    std::uint8_t low, high;  ///< classes of bytes, not bytes
    std::uint32_t target;
  };
  struct TokenEdge {
    std::uint32_t token;  ///< of `tokens`
    bool other;           ///< any token but this one
    std::uint32_t target;
  };
  /// A call of a rule, which goes on at `back`; a tail call has nothing left to do there.
  struct Call {
    std::uint32_t rule, back;
    bool tail;
  };
  template <typename T>
  struct Slices {
    std::vector<std::uint32_t> begin;  ///< one a node and one more
    std::vector<T> all;
    std::span<const T> of(std::uint32_t node) const { return std::span(all).subspan(begin[node], begin[node + 1] - begin[node]); }
  };

  std::string where;
  std::vector<std::string> rule_names;
  std::vector<std::uint32_t> starts;     ///< of rules; rule 0 is the root
  std::vector<std::uint32_t> rank;       ///< of rules: a rule comes behind those that call it before any byte
  std::vector<std::uint32_t> by_rank;
  std::vector<NamedToken> tokens;
  std::array<std::uint8_t, 256> class_of{};
  std::size_t classes = 1;
  Slices<ByteEdge> bytes;                ///< of a node
  Slices<TokenEdge> token_edges;
  Slices<std::uint32_t> stops;           ///< nodes with edges that a node reaches without a byte
  Slices<Call> calls;                    ///< likewise
  std::vector<bool> returns;             ///< whether a node reaches its rule's end without a byte
  std::vector<std::uint32_t> distance;   ///< least number of bytes (or tokens) from a node to its rule's end
};

/// @throws Error where the grammar has left recursion, never ends or is too large
GrammarNetwork compile_grammar(GrammarText text, const std::string& where);

}  // namespace vitrine
