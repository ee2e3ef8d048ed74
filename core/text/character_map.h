#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// SentencePiece's precompiled_charsmap: what beginnings of a text become, as a double array (darts-clone's units) with the
/// replacements behind it. Every index is checked at use: the file may be a stranger's.
class CharacterMap {
 public:
  CharacterMap() = default;  ///< maps nothing
  /// @throws Error where the blob is broken
  CharacterMap(std::string_view blob, const std::string& where);

  bool empty() const { return units_.empty(); }
  struct Match {
    std::size_t bytes;  ///< of the text
    std::string_view replacement;
  };
  std::optional<Match> longest(std::string_view text) const;
  std::optional<Match> shortest(std::string_view text) const;

 private:
  template <typename Found>
  void each_match(std::string_view text, const Found& found) const;
  std::string_view replacement(std::uint32_t place) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;  // each ends with a zero byte
};

}  // namespace vitrine
