#include "probes/head_place.h"

#include <charconv>

#include "core/base/error.h"

namespace vitrine {

HeadPlace head_of(const ModelSpec& spec, std::string_view setting, const std::string& text) {
  HeadPlace place;
  std::string_view left = text;
  const bool letters = left.starts_with('L');
  const auto take = [&left](std::size_t& number) {
    const auto [end, error] = std::from_chars(left.data(), left.data() + left.size(), number);
    left.remove_prefix(static_cast<std::size_t>(end - left.data()));
    return error == std::errc();
  };
  if (letters) left.remove_prefix(1);
  bool known = take(place.layer) && left.starts_with(letters ? 'H' : '.');
  if (known) left.remove_prefix(1);
  known = known && take(place.head) && left.empty() && place.layer < spec.blocks.size() && place.head < spec.blocks[place.layer].attention.heads;
  if (known) return place;
  throw Error({"--set " + std::string(setting),
               "a head from L0H0 to L" + std::to_string(spec.blocks.size() - 1) + "H" + std::to_string(spec.blocks.back().attention.heads - 1),
               quoted(text), ""},
              Fault::usage);
}

}  // namespace vitrine
