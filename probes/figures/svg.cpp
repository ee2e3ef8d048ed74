#include <algorithm>

#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"

namespace vitrine {
namespace {

constexpr double margin = 16.0, part_gap = 18.0, title_size = 16.0, least_note_width = 640.0;

/// Puts parts one below the other.
class Column {
 public:
  void add(const Picture& part, double gap = part_gap) {
    if (height_ > 0.0) height_ += gap;
    svg_ += format("<g transform=\"translate(%.1f,%.1f)\">\n", margin, margin + height_) + part.svg + "</g>\n";
    width_ = std::max(width_, part.width);
    height_ += part.height;
  }
  double width() const { return width_; }
  std::string document() const {
    const double width = width_ + 2 * margin, height = height_ + 2 * margin;
    return format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" viewBox=\"0 0 %.0f %.0f\" "
               "width=\"%.0f\" height=\"%.0f\" "
               "font-family=\"system-ui,sans-serif\" font-size=\"%.0f\" fill=\"%s\">\n<rect width=\"%.0f\" height=\"%.0f\" "
               "fill=\"#ffffff\"/>\n",
               width, height, width, height, font_size, ink.data(), width, height) +
           svg_ + "</svg>\n";
  }

 private:
  std::string svg_;
  double width_ = 0.0, height_ = 0.0;
};

Picture note_picture(const std::string& note, double width) {
  Picture picture{"", 0.0, 0.0};
  std::string line;
  const auto flush = [&] {
    picture.svg += text_svg({.x = 0.0, .y = picture.height + 12, .fill = "#374151"}, line) + "\n";
    picture.width = std::max(picture.width, text_width(line, font_size));
    picture.height += line_height;
    line.clear();
  };
  for (std::size_t at = 0; at < note.size();) {
    const std::size_t end = std::min(note.find(' ', at), note.size());
    const std::string word = note.substr(at, end - at);
    if (!line.empty() && text_width(line + " " + word, font_size) > width) flush();
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  flush();
  return picture;
}

}  // namespace

std::string figure_svg(const Figure& figure) {
  Column column;
  if (!figure.title.empty()) {
    column.add({text_svg({.x = 0.0, .y = 16.0, .size = title_size}, figure.title), text_width(figure.title, title_size), 20.0});
  }
  const auto add_all = [&](const auto& parts) {
    for (const auto& part : parts) column.add(picture_of(part));
  };
  add_all(figure.grids);
  add_all(figure.texts);
  add_all(figure.points);
  add_all(figure.estimates);
  add_all(figure.tables);
  const double note_width = std::max(column.width(), least_note_width);
  for (std::size_t i = 0; i < figure.notes.size(); ++i) column.add(note_picture(figure.notes[i], note_width), i == 0 ? part_gap : 2.0);
  return column.document();
}

}  // namespace vitrine
