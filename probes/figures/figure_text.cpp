#include "probes/figures/figure_text.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace vitrine {
namespace {

/// The character at the front, which has `bytes` bytes.
char32_t character_of(std::string_view text, std::size_t bytes) {
  auto value = static_cast<char32_t>(static_cast<unsigned char>(text[0]));
  if (bytes > 1) value &= 0xffu >> (bytes + 1);
  for (std::size_t i = 1; i < bytes; ++i) value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  return value;
}

/// Where a UTF-8 character of these first two bytes and this length is none: overlong, a surrogate, past U+10FFFF.
bool is_outside(unsigned char lead, unsigned char second) {
  return (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
         (lead == 0xf4 && second > 0x8f);
}

/// Ranges of Unicode 15's East_Asian_Width W and F, joined where only rare characters lie between.
bool is_wide(char32_t character) {
  constexpr char32_t ranges[][2] = {{0x1100, 0x115f}, {0x231a, 0x231b}, {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},
                                    {0x4e00, 0xa4cf}, {0xa960, 0xa97f}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                                    {0xff01, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1faff}, {0x20000, 0x3fffd}};
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const char32_t(&range)[2]) { return character >= range[0] && character <= range[1]; });
}

/// Marks that stand on the character before them, joiners and variation selectors.
bool has_no_width(char32_t character) {
  return (character >= 0x300 && character <= 0x36f) || (character >= 0x200b && character <= 0x200f) ||
         (character >= 0xfe00 && character <= 0xfe0f);
}

/// Of the font size: DejaVu Sans, the widest of the fonts that are called "sans-serif" on common systems.
double width_of(char32_t character) {
  if (has_no_width(character)) return 0.0;
  if (is_wide(character)) return 1.05;
  if (character > 0x7e) return 0.75;
  switch (static_cast<char>(character)) {
    case 'i':
    case 'j':
    case 'l':
    case '\'':
    case '|':
      return 0.30;
    case ' ':
    case ',':
    case '.':
    case ':':
    case ';':
    case 'I':
    case '/':
    case '-':
      return 0.36;
    case 'f':
    case 't':
    case 'r':
    case '(':
    case ')':
    case '[':
    case ']':
    case '!':
      return 0.42;
    case 'm':
    case 'M':
    case 'W':
    case '@':
    case '%':
      return 1.0;
    case 'w':
    case '+':
    case '=':
    case '<':
    case '>':
    case '#':
    case '~':
      return 0.85;
    default:
      return character >= 'A' && character <= 'Z' ? 0.74 : 0.64;
  }
}

template <typename Sum, typename Width>
Sum sum_of(std::string_view text, Sum invalid, Width width) {
  Sum sum{};
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    sum += bytes == 0 ? invalid : width(character_of(text, bytes));
    text.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return sum;
}

/// What XML 1.0 may not hold, not even as a reference (section 2.2).
bool is_no_xml(char32_t character) {
  return (character < 0x20 && character != '\n' && character != '\t' && character != '\r') || character == 0xfffe || character == 0xffff;
}

}  // namespace

std::size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length > 2 && is_outside(lead, static_cast<unsigned char>(text[1])) ? 0 : length;
}

std::string escaped(std::string_view text) {
  std::string safe;
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    switch (text[0]) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        if (bytes == 0 || is_no_xml(character_of(text, bytes)))
          safe += format("&lt;%02X&gt;", static_cast<unsigned char>(text[0]));
        else
          safe += text.substr(0, bytes);
    }
    text.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return safe;
}

std::string shortened(std::string_view name, std::size_t longest) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool first_byte = (static_cast<unsigned char>(name[i]) & 0xc0) != 0x80;
    if (first_byte && characters++ == longest) return std::string(name.substr(0, i)) + "\u2026";
  }
  return std::string(name);
}

std::size_t text_columns(std::string_view text) {
  return sum_of<std::size_t>(text, 4, [](char32_t character) -> std::size_t {
    return has_no_width(character) ? 0 : is_wide(character) ? 2 : 1;
  });
}

double text_width(std::string_view text, double font_size) { return sum_of<double>(text, 2.8, width_of) * font_size; }

std::string number_text(double value) { return std::isnan(value) ? "-" : format("%.4g", value); }

std::string exact_text(double value) { return std::isnan(value) ? "" : format("%.9g", value); }

}  // namespace vitrine
