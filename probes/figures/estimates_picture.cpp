#include <algorithm>
#include <cmath>

#include "probes/figures/axis_internal.h"
#include "probes/figures/figure_text.h"
#include "probes/figures/picture_internal.h"

// Forest plots: a row an estimate, its interval as a line, null and control beside it. Numbers of different units share no axis.

namespace vitrine {
namespace {

constexpr double row_height = 26.0, size = 13.0;
constexpr std::string_view diamond = "l6 6 l-6 6 l-6 -6 z\" fill=\"none\" stroke=\"#111827\"/>";

/// Words stand beside every colour, none of which praises or blames.
const char* color_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::differs:
      return "#b45309";
    case Verdict::equivalent:
    case Verdict::trivial:
      return "#0369a1";
    default:
      return "#6b7280";
  }
}

/// Places in pixels: names, plot, numbers.
struct Scale {
  AxisRange range;
  double left = 330.0, numbers = 330.0;  ///< where the plot begins; width of the numbers beside it
  static constexpr double plot = 420.0;
  double right() const { return left + plot; }
  double pixel(double value) const {
    return left + (std::clamp(value, range.low, range.high) - range.low) / (range.high - range.low) * plot;
  }
};

std::string numbers_of(const Estimate& row) {
  std::string text = std::isnan(row.value) ? "" : number_text(row.value) + " " + interval_text(row);
  // Without a null value or a control nothing was tested.
  if (!row.null_value && !row.control && row.verdict == Verdict::inconclusive) return text;
  return text + (text.empty() ? "" : ", ") + std::string(verdict_name(row.verdict));
}

Scale scale_of(std::span<const Estimate* const> rows) {
  std::vector<double> numbers;
  double names = 120.0, beside = 120.0;
  for (const Estimate* row : rows) {
    numbers.insert(numbers.end(),
                   {row->value, row->low, row->high, row->null_value.value_or(row->value), row->control.value_or(row->value)});
    names = std::max(names, text_width(shortened(row->name), size));
    beside = std::max(beside, text_width(numbers_of(*row), size));
  }
  return {range_around(numbers), names + 24.0, beside + 30.0};
}

/// A line with caps; where an end is infinite the line is dashed and has an arrow instead.
std::string interval_svg(const Estimate& row, const Scale& scale, double y) {
  const char* color = color_of(row.verdict);
  const bool open = !std::isfinite(row.low) || !std::isfinite(row.high);
  const double from = std::isfinite(row.low) ? scale.pixel(row.low) : scale.left,
               to = std::isfinite(row.high) ? scale.pixel(row.high) : scale.right();
  std::string svg = format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" %s/>", from, y, to, y, color,
                           open ? "stroke-width=\"1\" stroke-dasharray=\"2 3\"" : "stroke-width=\"2.5\"");
  const auto end = [&](double x, bool finite, double outward) {
    svg += finite ? format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"1.5\"/>", x, y - 4, x, y + 4,
                           color)
                  : format("<path d=\"M%.1f %.1f l%.1f 4 l%.1f 4\" fill=\"none\" stroke=\"%s\"/>", x - 5 * outward, y - 4, 5 * outward,
                           -5 * outward, color);
  };
  end(from, std::isfinite(row.low), -1.0);
  end(to, std::isfinite(row.high), 1.0);
  return svg;
}

std::string row_svg(const Estimate& row, const Scale& scale, double y) {
  const char* color = color_of(row.verdict);
  std::string svg = "<g>" + (row.reason.empty() ? "" : "<title>" + escaped(row.reason) + "</title>") +
                    text_svg({.x = scale.left - 12, .y = y + 4, .anchor = "end", .size = size}, shortened(row.name));
  if (row.null_value) {
    svg += format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#6b7280\" stroke-dasharray=\"3 2\"/>",
                  scale.pixel(*row.null_value), y - 12, scale.pixel(*row.null_value), y + 12);
  }
  if (!std::isnan(row.value))
    svg += interval_svg(row, scale, y) + format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>", scale.pixel(row.value), y, color);
  if (row.control && !std::isnan(row.value))
    svg += format("<path d=\"M%.1f %.1f ", scale.pixel(*row.control), y - 6) + std::string(diamond);
  return svg + text_svg({.x = scale.right() + 15, .y = y + 4, .fill = color, .size = size}, numbers_of(row)) + "</g>\n";
}

/// What the signs of a figure mean; only those that it has.
Picture legend_of(std::span<const Estimate* const> rows) {
  Picture legend{"", 14.0, 16.0};
  const auto any = [&](auto&& holds) { return std::any_of(rows.begin(), rows.end(), [&](const Estimate* row) { return holds(*row); }); };
  const auto add = [&](const std::string& sign, std::string_view text) {
    legend.svg += format("<g transform=\"translate(%.1f,8)\">", legend.width) + sign +
                  text_svg({.x = 14.0, .y = 4.0, .fill = "#374151", .size = size}, text) + "</g>";
    legend.width += 14.0 + text_width(text, size) + 20.0;
  };
  const auto dot = [](const char* color) {
    return format("<line x1=\"-9\" x2=\"9\" stroke=\"%s\" stroke-width=\"2.5\"/><circle r=\"4\" fill=\"%s\"/>", color, color);
  };
  const auto judged = [](const Estimate& e) { return !numbers_of(e).empty() && (e.null_value || e.control); };
  if (any([](const Estimate& e) { return e.verdict == Verdict::differs; })) add(dot(color_of(Verdict::differs)), "differs");
  if (any([](const Estimate& e) { return e.verdict == Verdict::equivalent || e.verdict == Verdict::trivial; }))
    add(dot(color_of(Verdict::equivalent)), "equivalent within the margin, or trivial");
  if (any([&](const Estimate& e) { return judged(e) && e.verdict == Verdict::inconclusive; }))
    add(dot(color_of(Verdict::inconclusive)), "neither shown");
  if (any([](const Estimate& e) { return e.null_value.has_value(); }))
    add("<line y1=\"-8\" y2=\"8\" stroke=\"#6b7280\" stroke-dasharray=\"3 2\"/>", "null");
  if (any([](const Estimate& e) { return e.control.has_value(); })) add("<path d=\"M0 -6 " + std::string(diamond), "control");
  if (any([](const Estimate& e) { return std::isinf(e.low) || std::isinf(e.high); }))
    add("<line x1=\"-9\" x2=\"9\" stroke=\"#6b7280\" stroke-dasharray=\"2 3\"/>", "excludes nothing");
  return legend;
}

Picture forest(std::span<const Estimate* const> rows, const std::string& unit) {
  const Scale scale = scale_of(rows);
  const double bottom = 8.0 + row_height * static_cast<double>(rows.size());
  Picture picture{"", scale.right() + scale.numbers, bottom + 68.0};
  for (const double tick : round_ticks(scale.range.low, scale.range.high, 7.0)) {
    const double x = scale.pixel(tick);
    picture.svg += format("<line x1=\"%.1f\" y1=\"4\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#e5e7eb\"/>", x, x, bottom) +
                   text_svg({.x = x, .y = bottom + 15, .anchor = "middle", .fill = quiet_ink}, format("%.4g", tick)) + "\n";
  }
  picture.svg += text_svg({.x = scale.left + Scale::plot / 2, .y = bottom + 32, .anchor = "middle", .fill = "#374151", .size = size}, unit);
  for (std::size_t i = 0; i < rows.size(); ++i) picture.svg += row_svg(*rows[i], scale, 20.0 + row_height * static_cast<double>(i));
  const Picture legend = legend_of(rows);
  picture.svg += format("<g transform=\"translate(0,%.1f)\">", bottom + 46) + legend.svg + "</g>\n";
  picture.width = std::max(picture.width, legend.width);
  return picture;
}

}  // namespace

std::vector<std::string> units_of(std::span<const Estimate> estimates) {
  std::vector<std::string> units;
  for (const Estimate& each : estimates) {
    if (std::ranges::find(units, each.unit) == units.end()) units.push_back(each.unit);
  }
  return units;
}

std::string interval_text(const Estimate& estimate) {
  if (std::isnan(estimate.value)) return "-";
  if (!std::isfinite(estimate.low) || !std::isfinite(estimate.high)) return "none: n is too small";
  return "[" + number_text(estimate.low) + ", " + number_text(estimate.high) + "]";
}

Picture picture_of(const FigureEstimates& estimates) {
  Picture picture{text_svg({.x = 0.0, .y = 14.0, .size = 14.0}, estimates.title) + "\n", text_width(estimates.title, 14.0),
                  estimates.title.empty() ? 0.0 : 24.0};
  for (const std::string& unit : units_of(estimates.rows)) {
    std::vector<const Estimate*> rows;
    for (const Estimate& row : estimates.rows) {
      if (row.unit == unit) rows.push_back(&row);
    }
    const Picture one = forest(rows, unit);
    picture.svg += format("<g transform=\"translate(0,%.1f)\">", picture.height) + one.svg + "</g>\n";
    picture.width = std::max(picture.width, one.width);
    picture.height += one.height;
  }
  return picture;
}

}  // namespace vitrine
