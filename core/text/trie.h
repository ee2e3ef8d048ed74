#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrine {

/// Byte strings and a number for each, walked byte by byte: a double array (Aoe 1989) whose children lie at base XOR byte, in
/// one block of 256.
class Trie {
 public:
  static constexpr std::uint32_t root = 0, nowhere = UINT32_MAX;
  static constexpr std::int32_t no_value = -1;

  Trie() : Trie(std::vector<std::pair<std::string_view, std::int32_t>>{}) {}
  /// Empty keys are left out; of equal keys the last one counts.
  explicit Trie(std::vector<std::pair<std::string_view, std::int32_t>> keys);

  /// Where a byte leads from a node, or `nowhere`.
  std::uint32_t next(std::uint32_t node, char byte) const {
    const std::uint32_t child = units_[node].base ^ static_cast<unsigned char>(byte);
    return units_[child].parent == node ? child : nowhere;
  }
  /// The number of the key that ends at a node, or `no_value`.
  std::int32_t value(std::uint32_t node) const { return units_[node].value; }

  struct Match {
    std::int32_t value = no_value;
    std::size_t bytes = 0;
  };
  /// The longest key that `text` begins with from `node` on.
  Match longest(std::string_view text, std::uint32_t node = root) const;
  std::int32_t find(std::string_view text) const;
  /// The node that `text` leads to, or `nowhere`.
  std::uint32_t walk(std::string_view text) const;

 private:
  struct Unit {
    std::uint32_t base = 0;
    std::uint32_t parent = nowhere;
    std::int32_t value = no_value;
  };
  class Builder;
  std::vector<Unit> units_;
};

}  // namespace vitrine
