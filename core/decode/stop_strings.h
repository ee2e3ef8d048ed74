#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Ends a text before the string, of some, that is whole first (of two that are whole at once, the longer). The text may come in any
/// pieces: what may be the beginning of one is held back.
class StopStrings {
 public:
  StopStrings() = default;
  /// @throws Error (usage) where one is empty
  explicit StopStrings(std::vector<std::string> stops);
  /// What can be said now of all that came; nothing behind a stop string.
  std::string push(std::string_view text);
  /// What was held back, where no more comes.
  std::string finish();
  bool met() const { return met_; }

 private:
  std::vector<std::string> stops_;
  std::string waiting_;
  bool met_ = false;
};

}  // namespace vitrine
