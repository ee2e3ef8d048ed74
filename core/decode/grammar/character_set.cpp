#include "core/decode/grammar/character_set.h"

#include <algorithm>
#include <string>

#include "core/text/characters.h"

namespace vitrine {
namespace {

constexpr char32_t first_surrogate = 0xD800, last_surrogate = 0xDFFF;

/// Cuts [first, last] where the length of UTF-8 changes, then until the bytes behind the first that differs are free.
void cut(char32_t first, char32_t last, std::vector<Utf8Sequence>& out) {
  for (const char32_t border : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (first <= border && border < last) return cut(first, border, out), cut(border + 1, last, out);
  }
  for (int shift = 6; shift <= 18 && first > 0x7F; shift += 6) {
    const char32_t free = (char32_t{1} << shift) - 1;
    if ((first & ~free) == (last & ~free)) break;
    if (first & free) return cut(first, first | free, out), cut((first | free) + 1, last, out);
    if ((last & free) != free) return cut(first, (last & ~free) - 1, out), cut(last & ~free, last, out);
  }
  const std::string low = utf8(first), high = utf8(last);
  Utf8Sequence sequence;
  sequence.bytes = static_cast<int>(low.size());
  for (std::size_t i = 0; i < low.size(); ++i) {
    sequence.low[i] = static_cast<std::uint8_t>(low[i]);
    sequence.high[i] = static_cast<std::uint8_t>(high[i]);
  }
  out.push_back(sequence);
}

}  // namespace

CharacterSet::CharacterSet(std::vector<Range> ranges) {
  std::vector<Range> parts;
  for (const auto& [first, last] : ranges) {
    if (first < first_surrogate) parts.emplace_back(first, std::min<char32_t>(last, first_surrogate - 1));
    if (last > last_surrogate) parts.emplace_back(std::max<char32_t>(first, last_surrogate + 1), last);
  }
  std::ranges::sort(parts);
  for (const auto& [first, last] : parts) {
    if (first > last) continue;
    if (!ranges_.empty() && first <= ranges_.back().second + 1) {
      ranges_.back().second = std::max(ranges_.back().second, last);
    } else {
      ranges_.emplace_back(first, last);
    }
  }
}

bool CharacterSet::contains(char32_t character) const {
  const auto behind = std::ranges::upper_bound(ranges_, character, {}, &Range::first);
  return behind != ranges_.begin() && character <= std::prev(behind)->second;
}

CharacterSet CharacterSet::complement() const {
  std::vector<Range> rest;
  char32_t next = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= last_character) rest.emplace_back(next, last_character);
  return CharacterSet(std::move(rest));
}

CharacterSet CharacterSet::united(const CharacterSet& other) const {
  std::vector<Range> both = ranges_;
  both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
  return CharacterSet(std::move(both));
}

std::vector<Utf8Sequence> utf8_sequences(const CharacterSet& set) {
  std::vector<Utf8Sequence> sequences;
  for (const auto& [first, last] : set.ranges()) cut(first, last, sequences);
  return sequences;
}

}  // namespace vitrine
