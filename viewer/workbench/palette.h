#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "viewer/data/action.h"

namespace vitrine {

/// A head as people type it, more freely than parse_head() of settings: "L5H8", "l5 h8" or "5.8". None where the words are something else.
std::optional<std::pair<std::size_t, std::size_t>> typed_head(std::string_view words);

/// How well the letters that were typed fit a name: they must come in this order. Higher is better; none where they do not.
std::optional<int> match_score(std::string_view typed, std::string_view name);

/// A list of everything that can be done, narrowed by typing, run by Enter.
class Palette {
 public:
  void open();
  bool is_open() const { return open_; }
  /// Draws the list over everything else.
  /// @param go_to  called with a layer and head that were typed
  void draw(std::span<const Action> actions, const std::function<void(std::size_t, std::size_t)>& go_to);

 private:
  bool open_ = false, focus_ = false;
  std::string typed_;
  std::size_t chosen_ = 0;
};

/// All actions with their keys.
class HelpWindow {
 public:
  void toggle() { open_ = !open_; }
  bool is_open() const { return open_; }
  void draw(std::span<const Action> actions);

 private:
  bool open_ = false;
};

}  // namespace vitrine
