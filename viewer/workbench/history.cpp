#include "viewer/workbench/history.h"

namespace vitrine {
namespace {

constexpr std::size_t most_states = 500;

}  // namespace

void History::note(const Json& state) {
  std::string text = state.dump();
  if (!states_.empty() && states_[place_] == text) return;
  if (!states_.empty()) states_.resize(place_ + 1);  // what was undone is gone once something else is done
  states_.push_back(std::move(text));
  if (states_.size() > most_states) states_.erase(states_.begin());
  place_ = states_.size() - 1;
}

Json History::undo() {
  if (!can_undo()) return {};
  return parse_json(states_[--place_], "undo");
}

Json History::redo() {
  if (!can_redo()) return {};
  return parse_json(states_[++place_], "redo");
}

}  // namespace vitrine
