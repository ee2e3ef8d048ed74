#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/figures/axis_internal.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"

namespace vitrine {
namespace {

constexpr double plot_width = 620.0, plot_height = 400.0, left = 76.0, top_without_title = 10.0;
constexpr std::size_t most_names = 40, longest_point_name = 28;
constexpr std::string_view point_ink = "#0369a1", marked_ink = "#b45309";

using Point = FigurePoints::Point;

struct Plane {
  AxisRange x, y;
  double top = 0.0;
  double column(double value) const { return left + (std::clamp(value, x.low, x.high) - x.low) / (x.high - x.low) * plot_width; }
  double row(double value) const { return top + plot_height - (std::clamp(value, y.low, y.high) - y.low) / (y.high - y.low) * plot_height; }
};

struct Box {
  double x = 0.0, y = 0.0, width = 0.0, height = 0.0;
  bool meets(const Box& other) const {
    return x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height;
  }
};

bool is_drawn(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

Plane plane_of(const FigurePoints& figure, double top) {
  std::vector<double> xs, ys;
  for (const Point& point : figure.points) {
    if (!is_drawn(point)) continue;
    xs.insert(xs.end(), {point.x, point.x_low, point.x_high});
    ys.insert(ys.end(), {point.y, point.y_low, point.y_high});
  }
  return {range_around(xs), range_around(ys), top};
}

std::string axes_svg(const FigurePoints& figure, const Plane& plane) {
  std::string svg;
  const double bottom = plane.top + plot_height, right = left + plot_width;
  for (const double tick : round_ticks(plane.x.low, plane.x.high, 7.0)) {
    const double x = plane.column(tick);
    svg += format("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e5e7eb\"/>", x, x, plane.top, bottom) +
           text_svg({.x = x, .y = bottom + 16, .anchor = "middle", .fill = quiet_ink}, format("%.4g", tick)) + "\n";
  }
  for (const double tick : round_ticks(plane.y.low, plane.y.high, 6.0)) {
    const double y = plane.row(tick);
    svg += format("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e5e7eb\"/>", left, right, y, y) +
           text_svg({.x = left - 6, .y = y + 4, .anchor = "end", .fill = quiet_ink}, format("%.4g", tick)) + "\n";
  }
  svg += format("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#9ca3af\"/>", left, plane.top,
                plot_width, plot_height);
  svg += text_svg({.x = left + plot_width / 2, .y = bottom + 34, .anchor = "middle"}, figure.x_axis);
  return svg + text_svg({.x = 13.0, .y = plane.top + plot_height / 2, .anchor = "middle", .turn = -90.0}, figure.y_axis) + "\n";
}

std::string line_svg(const FigurePoints& figure, const Plane& plane) {
  if (figure.line.size() < 2) return {};
  std::string path;
  for (const std::size_t place : figure.line) {
    VITRINE_CHECK(place < figure.points.size());
    const Point& point = figure.points[place];
    if (is_drawn(point)) path += format("%.1f,%.1f ", plane.column(point.x), plane.row(point.y));
  }
  return "<polyline points=\"" + path + "\" fill=\"none\" stroke=\"#9ca3af\" stroke-width=\"1.5\"/>\n";
}

/// From end to end; dashed where an end is infinite, which reaches the border.
std::string whisker_svg(double x1, double y1, double x2, double y2, bool open) {
  return format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#6b7280\"%s/>", x1, y1, x2, y2,
                open ? " stroke-dasharray=\"2 3\"" : "");
}

std::string between(double value, double low, double high) {
  return format("%.6g", value) + (low == high ? "" : format(" [%.6g, %.6g]", low, high));
}

std::string point_svg(const FigurePoints& figure, const Point& point, const Plane& plane) {
  const double x = plane.column(point.x), y = plane.row(point.y);
  std::string svg =
      "<g><title>" +
      escaped((point.name.empty() ? "" : point.name + ": ") + figure.x_axis + " " + between(point.x, point.x_low, point.x_high) + ", " +
              figure.y_axis + " " + between(point.y, point.y_low, point.y_high)) +
      "</title>";
  if (point.x_low < point.x_high)
    svg += whisker_svg(plane.column(point.x_low), y, plane.column(point.x_high), y,
                       !std::isfinite(point.x_low) || !std::isfinite(point.x_high));
  if (point.y_low < point.y_high)
    svg += whisker_svg(x, plane.row(point.y_low), x, plane.row(point.y_high), !std::isfinite(point.y_low) || !std::isfinite(point.y_high));
  svg += point.marked ? format("<path d=\"M%.1f %.1f l7 7 l-7 7 l-7 -7 z\" fill=\"%s\"/>", x, y - 7, marked_ink.data())
                      : format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>", x, y, point_ink.data());
  return svg + "</g>\n";
}

/// A name beside each point, at the first of some places where it meets neither another name nor a point; none where there is no such
/// place.
std::string names_svg(const FigurePoints& figure, const Plane& plane) {
  std::vector<Box> taken;
  for (const Point& point : figure.points) {
    if (is_drawn(point)) taken.push_back({plane.column(point.x) - 5, plane.row(point.y) - 5, 10, 10});
  }
  const Box inside{left, plane.top, plot_width, plot_height};
  std::string svg;
  for (const Point& point : figure.points) {
    if (!is_drawn(point) || point.name.empty() || (figure.points.size() > most_names && !point.marked)) continue;
    const std::string name = shortened(point.name, longest_point_name);
    const double x = plane.column(point.x), y = plane.row(point.y), width = text_width(name, 11.0);
    const Box places[] = {{x + 8, y - 6, width, 12},          {x - 8 - width, y - 6, width, 12}, {x - width / 2, y - 20, width, 12},
                          {x - width / 2, y + 8, width, 12},  {x + 6, y - 19, width, 12},        {x + 6, y + 7, width, 12},
                          {x - 6 - width, y - 19, width, 12}, {x - 6 - width, y + 7, width, 12}};
    for (const Box& box : places) {
      const bool fits = box.x >= inside.x && box.x + box.width <= inside.x + inside.width && box.y >= inside.y &&
                        box.y + box.height <= inside.y + inside.height;
      if (!fits || std::ranges::any_of(taken, [&](const Box& other) { return box.meets(other); })) continue;
      taken.push_back(box);
      svg += text_svg({.x = box.x, .y = box.y + 10, .size = 11.0}, name) + "\n";
      break;
    }
  }
  return svg;
}

}  // namespace

Picture picture_of(const FigurePoints& figure) {
  const Plane plane = plane_of(figure, figure.title.empty() ? top_without_title : 28.0);
  std::string svg = text_svg({.x = 0.0, .y = 14.0, .size = 14.0}, figure.title) + "\n" + axes_svg(figure, plane) + line_svg(figure, plane);
  std::size_t undrawn = 0;
  for (const Point& point : figure.points) {
    if (is_drawn(point)) svg += point_svg(figure, point, plane);
    undrawn += is_drawn(point) ? 0 : 1;
  }
  svg += names_svg(figure, plane);
  double height = plane.top + plot_height + 42.0;
  if (undrawn > 0) {
    svg +=
        text_svg({.x = left, .y = height + 10, .fill = quiet_ink}, std::to_string(undrawn) + " of " + std::to_string(figure.points.size()) +
                                                                       " are not drawn: a number of theirs is undefined");
    height += line_height;
  }
  return {svg, std::max(left + plot_width + 16.0, text_width(figure.title, 14.0)), height};
}

}  // namespace vitrine
