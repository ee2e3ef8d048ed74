#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Two sentences that differ in few words; `more` is the one the data's author takes for the stereotype.
struct SentencePair {
  std::string id;
  std::string more, less;
  std::string group;      ///< category
  std::string cluster;    ///< writer, template or term: items of one cluster depend on each other
  std::string direction;  ///< "stereo", "antistereo" or empty
};

struct PairSet {
  std::string name;        ///< for the report
  std::string license;
  std::string cluster_unit;  ///< "writer", "term", "pair"
  std::string control_group;  ///< the group in which nothing social changes; empty where there is none
  std::vector<SentencePair> pairs;
};

/// The project's own set, from templates: four categories of at least 400 pairs and a control.
PairSet template_pairs();

/// A CSV with CrowS-Pairs' columns, or any by `map` ("more=COL,less=COL,group=COL,cluster=COL,direction=COL").
/// @throws Error naming line and column
PairSet read_pairs(std::string_view text, std::string_view where, std::string_view map);

}  // namespace vitrine
