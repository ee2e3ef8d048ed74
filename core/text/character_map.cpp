#include "core/text/character_map.h"

#include <array>
#include <cstring>

#include "core/base/error.h"

namespace vitrine {

CharacterMap::CharacterMap(std::string_view blob, const std::string& where) {
  if (blob.empty()) return;
  std::uint32_t bytes = 0;
  if (blob.size() > sizeof bytes) std::memcpy(&bytes, blob.data(), sizeof bytes);
  if (bytes == 0 || bytes % 4 != 0 || bytes > blob.size() - sizeof bytes) {
    throw Error({where, "a double array of " + std::to_string(bytes) + " bytes and replacements", std::to_string(blob.size()) + " bytes", ""});
  }
  units_.resize(bytes / 4);
  std::memcpy(units_.data(), blob.data() + sizeof bytes, bytes);
  replacements_ = blob.substr(sizeof bytes + bytes);
  if (!replacements_.ends_with('\0')) replacements_ += '\0';
}

std::string_view CharacterMap::replacement(std::uint32_t place) const {
  if (place >= replacements_.size()) return {};
  return replacements_.c_str() + place;
}

template <typename Found>
void CharacterMap::each_match(std::string_view text, const Found& found) const {
  const auto offset = [](std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  if (units_.empty()) return;
  std::uint32_t node = offset(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) return;
    const std::uint32_t unit = units_[node];
    if ((unit & (1u << 31 | 0xff)) != byte) return;
    node ^= offset(unit);
    if ((unit >> 8 & 1) == 0) continue;
    if (node >= units_.size()) return;
    if (!found(Match{i + 1, replacement(units_[node] & ~(1u << 31))})) return;
  }
}

std::optional<CharacterMap::Match> CharacterMap::longest(std::string_view text) const {
  std::optional<Match> best;
  each_match(text, [&](const Match& match) { return best = match, true; });
  return best;
}

std::optional<CharacterMap::Match> CharacterMap::shortest(std::string_view text) const {
  std::optional<Match> best;
  each_match(text, [&](const Match& match) { return best = match, false; });
  return best;
}

}  // namespace vitrine
