#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/figures/figure.h"

namespace vitrine {

/// What a head does on a text, by its scores.
struct HeadRole {
  std::string_view score;
  std::string_view name;
  double from = 0.0;  ///< a head with at least this has the role
  Color color;        ///< of Okabe & Ito (2008), which people tell apart who see few colours
};
std::span<const HeadRole> head_roles();

/// All heads that are shown, in the order of the forward pass, with their scores.
struct HeadList {
  struct Place {
    std::size_t module = 0, head = 0;
  };
  struct Module {
    std::string name;  ///< "blocks.3.attn"
    std::size_t block = 0;
    std::size_t heads = 0;
  };
  std::vector<Module> modules;
  std::vector<Place> places;          ///< by module and head
  std::vector<std::string> labels;    ///< of each place: "L5H8", "cross L5H8"
  std::size_t most_heads = 0;         ///< of a module
  std::vector<std::string> score_names;
  std::vector<std::vector<double>> scores;  ///< [score, place]; NaN where undefined

  void add(const Module& module);
  bool has_score(std::string_view name) const;
  /// NaN where there is no such score, or where it is undefined.
  double score(std::size_t place, std::string_view name) const;
  /// Places by a score, the largest first, undefined ones last; as they come where there is no score of this name.
  std::vector<std::size_t> order(std::string_view name) const;
  /// The role that the head exceeds by most; null where it has none.
  const HeadRole* role_of(std::size_t place) const;
  /// Whether the head's label or role holds the text, as each holds an empty one.
  bool matches(std::size_t place, std::string_view text) const;
};

}  // namespace vitrine
