#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "probes/recording.h"

namespace vitrine {

/// A token as tables name it: its text in quotes, or "#id" where there is none.
std::string token_label(const Model& model, TokenId id);
/// "3 " and the label of the fourth token, ... of a text.
std::vector<std::string> position_labels(const Model& model, std::span<const TokenId> ids);
std::vector<std::string> position_labels(const Recording& recording, std::size_t sequence);

/// The token that a setting names: "#123", or a text that is one token. @throws Error (usage) otherwise
TokenId token_of(const Model& model, std::string_view setting, const std::string& text);

}  // namespace vitrine
