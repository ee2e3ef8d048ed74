#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "viewer/data/tokens.h"

namespace vitrine {

/// The two texts of an attention module, which are one where it looks at its own: tokens, and their labels as they can be drawn.
struct MapTexts {
  Tokens queries, keys;
  std::vector<std::string> query_labels, key_labels;

  /// Nothing where they are there already. @param module  a place in Recording::modules()
  void load(const Document& document, std::size_t sequence, std::size_t module);

 private:
  std::optional<std::pair<std::size_t, std::size_t>> loaded_;  // sequence and module
};

}  // namespace vitrine
