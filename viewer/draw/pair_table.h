#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "viewer/data/study_items.h"

namespace vitrine {

/// Tokens of two sentences side by side, and by how much each is likelier in the first one: a bar to the right where it is, to the left where it
/// is not. Lines are named items: `item`/0, ...
struct PairTableOrder {
  const RecordedPair* pair = nullptr;
  bool hide_texts = true;  ///< dots in the place of tokens
};
/// @returns the line that was clicked
std::optional<std::size_t> draw_pair_table(std::string_view item, const PairTableOrder& order);

/// Heads with what their pattern does, as bars with intervals. Named items: `item`/0, ...
/// @returns the head that was clicked
std::optional<std::size_t> draw_head_effects(std::string_view item, std::span<const HeadEffect> effects);

}  // namespace vitrine
