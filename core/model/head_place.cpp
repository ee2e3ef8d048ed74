#include "core/model/head_place.h"

#include <charconv>

namespace vitrine {

std::string head_label(std::size_t layer, std::size_t head) { return "L" + std::to_string(layer) + "H" + std::to_string(head); }

std::optional<HeadPlace> parse_head(std::string_view text) {
  HeadPlace place;
  const bool letters = text.starts_with('L');
  const auto take = [&text](std::size_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc();
  };
  if (letters) text.remove_prefix(1);
  if (!take(place.layer) || !text.starts_with(letters ? 'H' : '.')) return {};
  text.remove_prefix(1);
  if (!take(place.head) || !text.empty()) return {};
  return place;
}

}  // namespace vitrine
