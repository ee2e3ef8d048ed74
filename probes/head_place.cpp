#include "probes/head_place.h"

#include <charconv>

#include "core/base/error.h"

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

HeadPlace head_of(const ModelSpec& spec, std::string_view setting, const std::string& text) {
  const std::optional<HeadPlace> place = parse_head(text);
  if (place && place->layer < spec.blocks.size() && place->head < spec.blocks[place->layer].attention.heads) return *place;
  throw Error({"--set " + std::string(setting),
               "a head from L0H0 to L" + std::to_string(spec.blocks.size() - 1) + "H" + std::to_string(spec.blocks.back().attention.heads - 1),
               quoted(text), ""},
              Fault::usage);
}

}  // namespace vitrine
