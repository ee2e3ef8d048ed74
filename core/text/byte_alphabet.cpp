#include "core/text/byte_alphabet.h"

#include "core/text/characters.h"

namespace vitrine {
namespace {

constexpr std::size_t alphabet_end = 256 + 68;  // 68 bytes do not print

std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> made{};
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    made[byte] = prints ? byte : next++;
  }
  return made;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> made;
    const auto alphabet = make_alphabet();
    for (std::size_t byte = 0; byte < 256; ++byte) made[byte] = utf8(alphabet[byte]);
    return made;
  }();
  return table;
}

std::optional<std::string> bytes_of_alphabet(std::string_view text) {
  static const std::array<int, alphabet_end> back = [] {
    std::array<int, alphabet_end> made;
    made.fill(-1);
    const auto alphabet = make_alphabet();
    for (std::size_t byte = 0; byte < 256; ++byte) made[alphabet[byte]] = static_cast<int>(byte);
    return made;
  }();
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (c >= alphabet_end || back[c] < 0) return std::nullopt;
    bytes += static_cast<char>(back[c]);
  }
  return bytes;
}

}  // namespace vitrine
