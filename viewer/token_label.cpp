#include "viewer/token_label.h"

#include <cstdio>

namespace vitrine {
namespace {

/// Bytes of the UTF-8 character at the front, 0 where there is none (RFC 3629; overlong forms only as far as it matters
/// for display).
std::size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

std::string shown(std::string_view character) {
  switch (character[0]) {
    case ' ': return "\u2423";   // open box
    case '\n': return "\u21b5";  // return arrow
    case '\t': return "\u21e5";  // tab arrow
    default: break;
  }
  if (static_cast<unsigned char>(character[0]) >= 0x20 && character[0] != 0x7f) return std::string(character);
  char code[8];
  std::snprintf(code, sizeof code, "<%02X>", static_cast<unsigned char>(character[0]));
  return code;
}

}  // namespace

std::string token_label(std::string_view bytes, std::size_t longest) {
  std::string label;
  std::size_t characters = 0;
  while (!bytes.empty()) {
    if (characters++ == longest) return label + "\u2026";
    const std::size_t length = character_bytes(bytes);
    if (length == 0) {
      char code[8];
      std::snprintf(code, sizeof code, "<%02X>", static_cast<unsigned char>(bytes[0]));
      label += code;
    } else {
      label += shown(bytes.substr(0, length));
    }
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  return label;
}

}  // namespace vitrine
