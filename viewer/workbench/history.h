#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace vitrine {

/// What was looked at, step by step: undo and redo.
class History {
 public:
  /// Takes note of a state that has come to rest; nothing where it is the last one.
  void note(const Json& state);
  /// The state before; null where there is none.
  Json undo();
  Json redo();
  bool can_undo() const { return place_ > 0; }
  bool can_redo() const { return place_ + 1 < states_.size(); }

 private:
  std::vector<std::string> states_;  // as JSON: compared and kept at once
  std::size_t place_ = 0;
};

}  // namespace vitrine
