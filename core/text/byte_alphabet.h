#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine {

/// GPT-2's printable character for each byte (Radford et al. 2019, encoder.py): itself where it prints, else the next free
/// one from U+0100 on.
const std::array<std::string, 256>& byte_characters();
/// The bytes that a text in that alphabet stands for; none where a character is not of the alphabet.
std::optional<std::string> bytes_of_alphabet(std::string_view text);

}  // namespace vitrine
