#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine {

/// What a byte that is no UTF-8 reads as: no character of Unicode.
inline constexpr char32_t no_character = 0x110000;

/// The character at `at`, which moves behind it; a byte that begins none is `no_character` and one byte long.
char32_t next_character_beyond_ascii(std::string_view text, std::size_t& at);
inline char32_t next_character(std::string_view text, std::size_t& at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return ++at, byte;
  return next_character_beyond_ascii(text, at);
}
/// The character that ends at `at` (> 0), and where it begins.
char32_t previous_character(std::string_view text, std::size_t& at);

/// How many bytes the character that a byte opens has by its bits alone, never more than remain.
inline std::size_t character_size(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t size = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return size < text.size() - at ? size : text.size() - at;
}

void append_utf8(std::string& text, char32_t character);
std::string utf8(char32_t character);
bool is_utf8(std::string_view text);
std::size_t count_characters(std::string_view text);

/// A tokenizer was made with the Unicode of its day. These answer as the tables that Hugging Face's `tokenizers` carries
/// do, so that the vocabulary meets the words that it was learnt from; the version stands beside each.
bool stood_in_unicode(char32_t c, unsigned version);  ///< it was assigned in version `version`.0
bool is_white_space(char32_t c);        ///< White_Space
bool is_alphanumeric_or_mark(char32_t c);  ///< what \w matches
bool is_numeric(char32_t c);            ///< N*
bool is_punctuation(char32_t c);        ///< P* and the ASCII symbols
bool is_control(char32_t c);            ///< C*
bool is_nonspacing_mark(char32_t c);    ///< Mn
bool is_combining_mark(char32_t c);     ///< M*
/// Full lower case without context or language, appended.
void append_lower_case(std::string& text, char32_t c);

}  // namespace vitrine
