#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

// How reports and pictures write text and numbers.

namespace vitrine {

/// Bytes of the character at the front of `text`, which is not empty; 0 where they are no UTF-8 (RFC 3629).
std::size_t character_bytes(std::string_view text);

/// For HTML and SVG, in text and in attributes. What no XML file may hold (bytes that are no UTF-8, control characters) is written as <E6>.
std::string escaped(std::string_view text);

constexpr std::size_t longest_name = 72;

/// At most `longest` characters of UTF-8, and an ellipsis where some were left out.
std::string shortened(std::string_view name, std::size_t longest = longest_name);

/// Cells that the text takes in a font whose characters are all of one width; East Asian characters and emoji take two.
std::size_t text_columns(std::string_view text);

/// Pixels that the text takes in a sans-serif font at most: pictures do not know which font will draw them.
double text_width(std::string_view text, double font_size);

/// "-" for NaN, else four digits.
std::string number_text(double value);
/// As files hold numbers: empty for NaN, else nine digits, which any f32 comes back from.
std::string exact_text(double value);

/// At most 511 bytes.
template <typename... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

}  // namespace vitrine
