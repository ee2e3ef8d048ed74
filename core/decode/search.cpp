#include "core/decode/search.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {

const DecodeOption* find_decode_option(std::string_view name) {
  const auto among = [&](const std::vector<DecodeOption>& options) {
    const auto found = std::ranges::find(options, name, &DecodeOption::name);
    return found == options.end() ? nullptr : &*found;
  };
  for (const SamplerKind* kind : all_samplers()) {
    if (const DecodeOption* option = among(kind->options)) return option;
  }
  for (const Search* search : all_searches()) {
    if (const DecodeOption* option = among(search->options)) return option;
  }
  return nullptr;
}

const Search& search_named(std::string_view name) {
  std::string known;
  for (const Search* search : all_searches()) {
    if (search->name == name) return *search;
    known += (known.empty() ? "" : ", ") + std::string(search->name);
  }
  throw Error({"--search", known, quoted(name, 40), ""}, Fault::usage);
}

}  // namespace vitrine
