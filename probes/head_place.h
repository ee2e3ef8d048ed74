#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/model/spec.h"

namespace vitrine {

struct HeadPlace {
  std::size_t layer = 0, head = 0;
};

/// "L5H8".
std::string head_label(std::size_t layer, std::size_t head);
/// "L5H8" or "5.8"; none where it is neither.
std::optional<HeadPlace> parse_head(std::string_view text);

/// The same of a model. @throws Error (usage) where the setting names no head of self attention of this model
HeadPlace head_of(const ModelSpec& spec, std::string_view setting, const std::string& text);

}  // namespace vitrine
