#include "viewer/data/recorded_heads.h"

#include <algorithm>
#include <cmath>

namespace vitrine {

HeadList heads_of(const Recording& recording) {
  HeadList heads;
  for (const Recording::Module& module : recording.modules()) heads.add({module.name, module.block, module.heads});
  return heads;
}

void set_scores(HeadList& heads, const std::vector<HeadRow>& rows) {
  heads.score_names.clear();
  for (const HeadScore* each : all_head_scores()) heads.score_names.emplace_back(each->name);
  heads.scores.assign(heads.score_names.size(), std::vector<double>(heads.places.size(), std::nan("")));
  for (std::size_t place = 0; place < heads.places.size(); ++place) {
    const auto [module, head] = heads.places[place];
    const auto row = std::ranges::find_if(rows, [&](const HeadRow& each) { return each.module == heads.modules[module].name && each.head == head; });
    for (std::size_t s = 0; row != rows.end() && s < heads.scores.size(); ++s) heads.scores[s][place] = row->scores[s].value_or(std::nan(""));
  }
}

}  // namespace vitrine
