#include "probes/figures/token_label.h"

#include <algorithm>

#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

std::string code_of(char byte) { return format("<%02X>", static_cast<unsigned char>(byte)); }

std::string shown(std::string_view character) {
  switch (character[0]) {
    case ' ': return "\u2423";   // open box
    case '\n': return "\u21b5";  // return arrow
    case '\t': return "\u21e5";  // tab arrow
    default: break;
  }
  if (static_cast<unsigned char>(character[0]) >= 0x20 && character[0] != 0x7f) return std::string(character);
  return code_of(character[0]);
}

}  // namespace

std::string token_label(std::string_view bytes, std::size_t longest) {
  std::string label;
  std::size_t characters = 0;
  while (!bytes.empty()) {
    if (characters++ == longest) return label + "\u2026";
    const std::size_t length = character_bytes(bytes);
    if (length == 0) {
      label += code_of(bytes[0]);
    } else {
      label += shown(bytes.substr(0, length));
    }
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  return label;
}

std::string running_text(std::string_view bytes, std::string_view space) {
  std::string text;
  while (!bytes.empty()) {
    const std::size_t length = std::max<std::size_t>(character_bytes(bytes), 1);
    text += bytes[0] == ' ' ? std::string(space) : token_label(bytes.substr(0, length), 1);
    bytes.remove_prefix(length);
  }
  return text;
}

}  // namespace vitrine
