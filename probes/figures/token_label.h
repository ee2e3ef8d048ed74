#pragma once

#include <string>
#include <string_view>

namespace vitrine {

/// A token's bytes as a label of one line: spaces and line breaks get a visible sign, bytes that are no character alone
/// are shown in hexadecimal, long tokens are cut after `longest` characters.
std::string token_label(std::string_view bytes, std::size_t longest = 14);

/// The same as a part of a running text: nothing is cut, and spaces are `space`, because many signs of them would make a text hard to read.
std::string running_text(std::string_view bytes, std::string_view space = " ");

}  // namespace vitrine
