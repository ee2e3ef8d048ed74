#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"
#include "probes/figures/token_label.h"

// Pieces of text on coloured grounds, wrapped. The font has characters of one width, and each piece is stretched to its ground, so that
// they fit together whatever font a reader has.

namespace vitrine {
namespace {

constexpr double text_size = 13.0, column_width = 8.0, row_height = 22.0;
constexpr std::size_t most_columns = 110;

/// Lays pieces out one behind the other.
class Page {
 public:
  Page(const FigureText& text, const ColorScale& scale) : text_(text), scale_(scale) {}

  void add(std::size_t span) {
    std::string label = running_text(text_.spans[span], "\u00a0");  // the ground shows where a piece begins
    if (column_ > 0 && column_ + text_columns(label) > most_columns) new_line();
    while (!label.empty()) label.erase(0, add_piece(label, span));
    if (text_.spans[span].ends_with('\n')) new_line();
  }
  double height() const { return row_height * static_cast<double>(line_ + (column_ > 0 ? 1 : 0)); }
  std::string svg() const { return svg_; }

 private:
  void new_line() { column_ = 0, ++line_; }

  /// As much of the label as the line has room for. Returns how many bytes that was.
  std::size_t add_piece(std::string_view label, std::size_t span) {
    std::size_t bytes = 0;
    while (bytes < label.size()) {
      const std::size_t next = std::max<std::size_t>(character_bytes(label.substr(bytes)), 1);
      if (bytes > 0 && column_ + text_columns(label.substr(0, bytes + next)) > most_columns) break;
      bytes += next;
    }
    draw(label.substr(0, bytes), span);
    column_ += text_columns(label.substr(0, bytes));
    if (bytes < label.size()) new_line();
    return bytes;
  }

  void draw(std::string_view piece, std::size_t span) {
    const double value = text_.values[span], x = column_width * static_cast<double>(column_), y = row_height * static_cast<double>(line_);
    const double width = column_width * static_cast<double>(text_columns(piece));
    const Color ground = scale_.color(value);
    svg_ += "<g>";
    if (!std::isnan(value)) {
      svg_ += format("<title>%.6g %s</title><rect x=\"%.4g\" y=\"%.4g\" width=\"%.4g\" height=\"18\" fill=\"%s\"/>", value,
                     escaped(text_.unit).c_str(), x, y + 2, width - 0.6, hex_of(ground).c_str());
    }
    svg_ += format("<text x=\"%.4g\" y=\"%.4g\" textLength=\"%.4g\" lengthAdjust=\"spacingAndGlyphs\"%s>", x, y + 15, width - 0.6,
                   std::isnan(value) || ink_on(ground).red < 0.5f ? "" : " fill=\"#ffffff\"") +
            escaped(piece) + "</text></g>\n";
  }

  const FigureText& text_;
  const ColorScale& scale_;
  std::string svg_;
  std::size_t column_ = 0, line_ = 0;
};

}  // namespace

Picture picture_of(const FigureText& text) {
  VITRINE_CHECK(text.spans.size() == text.values.size());
  const ColorScale scale{text.colors, ColorSpread::linear, text.low, text.high};
  Page page(text, scale);
  for (std::size_t i = 0; i < text.spans.size(); ++i) page.add(i);
  const double top = text.title.empty() ? 2.0 : 24.0;
  Picture picture{text_svg({.x = 0.0, .y = 14.0, .size = 14.0}, text.title) + "\n",
                  std::max(column_width * most_columns, text_width(text.title, 14.0)), top + page.height() + 8.0};
  picture.svg += format("<g transform=\"translate(0,%.1f)\" font-family=\"ui-monospace,monospace\" font-size=\"%.0f\">\n", top, text_size) +
                 page.svg() + "</g>\n";
  std::vector<double> defined;  // a piece without a colour has no ground that a bar would explain
  std::ranges::copy_if(text.values, std::back_inserter(defined), [](double value) { return !std::isnan(value); });
  if (defined.empty()) return picture;
  const Picture bar = lying_bar(scale, defined, text.unit);
  picture.svg += format("<g transform=\"translate(0,%.1f)\">", picture.height) + bar.svg + "</g>\n";
  return {picture.svg, std::max(picture.width, bar.width), picture.height + bar.height};
}

}  // namespace vitrine
