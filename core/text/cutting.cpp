#include "core/text/cutting.h"

#include <array>
#include <utility>

#include "core/base/error.h"

namespace vitrine {

MatchFate match_fate(const StageSource& source, std::string_view otherwise) {
  static constexpr std::array<std::pair<std::string_view, MatchFate>, 5> fates{{{"Removed", MatchFate::removed},
                                                                                 {"Isolated", MatchFate::isolated},
                                                                                 {"MergedWithPrevious", MatchFate::merged_with_previous},
                                                                                 {"MergedWithNext", MatchFate::merged_with_next},
                                                                                 {"Contiguous", MatchFate::contiguous}}};
  const std::string name = source.text("behavior", otherwise);
  for (const auto& [known, fate] : fates) {
    if (known == name) return fate;
  }
  source.refuse("behavior", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", quoted(name));
}

void Cutter::add(TextRange range, MatchSense what) {
  const bool is_match = what == sense_;
  const bool behind_match = std::exchange(last_was_match_, is_match);
  switch (fate_) {
    case MatchFate::removed:
      if (!is_match && range.size() > 0) out_.push_back(range);
      return;
    case MatchFate::isolated:
      if (range.size() > 0) out_.push_back(range);
      return;
    case MatchFate::merged_with_previous:
      if (is_match && !behind_match && open_.size() > 0) {
        open_.end = range.end;
      } else {
        close();
        open_ = range;
      }
      return;
    case MatchFate::merged_with_next:
      if (!is_match && behind_match && open_.size() > 0) {
        open_.end = range.end;
      } else {
        close();
        open_ = range;
      }
      return;
    case MatchFate::contiguous:
      if (is_match == behind_match && open_.size() > 0) {
        open_.end = range.end;
      } else {
        close();
        open_ = range;
      }
      return;
  }
}

}  // namespace vitrine
