#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// A field for the path of a model with a list of those that are known beside it, as wide as there is room.
/// @param item  its name among the items: `item`/model, `item`/models
void pick_model(std::string_view item, std::string& model, const std::vector<std::string>& known);

/// A combo of words, `width` in letters. Returns whether another one was chosen.
bool pick_word(const char* label, std::string_view item, std::string& word, const std::vector<std::string>& words, float width);
/// The same by place.
bool pick_place(const char* label, std::string_view item, std::size_t& place, const std::vector<std::string>& words, float width);

}  // namespace vitrine
