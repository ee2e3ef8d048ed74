#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

struct HeadPlace {
  std::size_t layer = 0, head = 0;
};

/// "L5H8".
std::string head_label(std::size_t layer, std::size_t head);
/// "L5H8" or "5.8"; none where it is neither.
std::optional<HeadPlace> parse_head(std::string_view text);

}  // namespace vitrine
