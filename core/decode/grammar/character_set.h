#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace vitrine {

inline constexpr char32_t last_character = 0x10FFFF;

/// Characters of Unicode without the surrogates: ranges [first, last] in order that neither meet nor touch.
class CharacterSet {
 public:
  using Range = std::pair<char32_t, char32_t>;

  CharacterSet() = default;
  explicit CharacterSet(std::vector<Range> ranges);
  static CharacterSet all() { return CharacterSet({{0, last_character}}); }

  const std::vector<Range>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t character) const;
  CharacterSet complement() const;
  CharacterSet united(const CharacterSet& other) const;
  CharacterSet without(const CharacterSet& other) const { return complement().united(other).complement(); }

 private:
  std::vector<Range> ranges_;
};

/// Characters of one length in UTF-8 whose bytes can be chosen one by one, each from its range [low, high].
struct Utf8Sequence {
  std::array<std::uint8_t, 4> low{}, high{};
  int bytes = 0;
};
/// A set as such sequences, which do not overlap.
std::vector<Utf8Sequence> utf8_sequences(const CharacterSet& set);

}  // namespace vitrine
