#include "probes/head_place.h"

#include "core/base/error.h"

namespace vitrine {

HeadPlace head_of(const ModelSpec& spec, std::string_view setting, const std::string& text) {
  const std::optional<HeadPlace> place = parse_head(text);
  if (place && place->layer < spec.blocks.size() && place->head < spec.blocks[place->layer].attention.heads) return *place;
  throw Error({"--set " + std::string(setting),
               "a head from L0H0 to L" + std::to_string(spec.blocks.size() - 1) + "H" + std::to_string(spec.blocks.back().attention.heads - 1),
               quoted(text), ""},
              Fault::usage);
}

}  // namespace vitrine
