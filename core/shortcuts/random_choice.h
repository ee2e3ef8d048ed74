#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace vitrine {

/// So many of the items, drawn by the seed. @param count  at most all of them
template <class Item>
std::vector<Item> drawn(std::vector<Item> items, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < count; ++i) std::swap(items[i], items[i + random() % (items.size() - i)]);
  items.resize(count);
  return items;
}

}  // namespace vitrine
