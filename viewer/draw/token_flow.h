#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "viewer/draw/heat_map.h"

namespace vitrine {

/// A text as one span a token, in lines. Widths are measured once, lines found once for each width of the window, and only those in sight
/// are drawn, so that a text may be of any length.
class TokenFlow {
 public:
  /// @param ends_line  of each label: whether a line ends behind it
  void set(std::vector<std::string> labels, std::vector<bool> ends_line);
  bool empty() const { return labels_.empty(); }
  /// Whether widths are still being measured, some thousands in each frame.
  bool measuring() const { return measured_ < labels_.size(); }
  /// Whether any label is shown as code points.
  bool has_code_points() const { return code_points_; }

  /// How tokens look; each is asked for those in sight alone.
  struct Paint {
    std::function<std::optional<Color>(std::size_t token)> fill;  ///< none: no colour
    std::function<bool(std::size_t token)> found;                 ///< by the search
    std::optional<std::size_t> query, key;                        ///< marked
  };
  struct Answer {
    std::optional<std::size_t> hovered, clicked;
  };
  /// Takes `size` of the current window from the cursor on.
  /// @param name  of the area and, with a token's number behind it, of each token in the registry of items
  Answer draw(std::string_view name, Corner size, const Paint& paint);
  /// Brings a token into sight in the next frame.
  void show(std::size_t token) { wanted_ = token; }

 private:
  void measure();
  void find_lines(float width);
  void draw_line(std::string_view name, std::size_t line, Corner from, const Paint& paint);
  std::optional<std::size_t> token_at(Corner place, Corner origin) const;
  float line_height() const;

  std::vector<std::string> labels_;
  std::vector<bool> ends_line_;
  std::vector<float> widths_;  // of labels, in pixels
  std::size_t measured_ = 0, laid_out_ = 0;
  float font_ = 0.0f, width_ = 0.0f;  // that widths and lines are of
  std::vector<std::size_t> lines_;    // first token of each
  bool code_points_ = false;
  std::optional<std::size_t> wanted_;
};

}  // namespace vitrine
