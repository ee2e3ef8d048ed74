#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/decode/grammar/network.h"

namespace vitrine {

inline constexpr std::uint32_t no_node = UINT32_MAX;
inline constexpr std::uint32_t never = UINT32_MAX;  ///< the distance of a node from which nothing ends

/// A node as Thompson's construction leaves it.
struct RawNode {
  struct Bytes {
    std::uint8_t low, high;
    std::uint32_t target;
  };
  std::vector<std::uint32_t> empty;  // targets without a byte
  std::vector<Bytes> bytes;
  std::vector<GrammarNetwork::TokenEdge> tokens;
  std::uint32_t rule = no_node, back = no_node;  // a call, where rule is set
};

/// Rules as nodes; rules that stand for repeated groups are added behind those of the text.
struct RawNetwork {
  std::vector<RawNode> nodes;
  std::vector<std::uint32_t> starts, ends;  // of rules
  std::vector<std::string> names;
};

RawNetwork build_nodes(const GrammarText& text, const std::string& where);
/// The least number of bytes or tokens from each node to its rule's end (Knuth 1977: Dijkstra's method over a grammar).
std::vector<std::uint32_t> distances(const RawNetwork& network);

}  // namespace vitrine
