#include <algorithm>
#include <cmath>
#include <cstdio>

#include "experiments/report_text.h"
#include "experiments/study.h"

// One HTML file that opens anywhere: no scripts, no outside files, figures as SVG inside.

namespace vitrine {
namespace {

std::string number(double value) { return std::isnan(value) ? "-" : format("%.4g", value); }

std::string interval(const Estimate& estimate) {
  if (std::isnan(estimate.value)) return "-";
  if (!std::isfinite(estimate.low) || !std::isfinite(estimate.high)) return "none: n is too small";
  return "[" + number(estimate.low) + ", " + number(estimate.high) + "]";
}

const char* color_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::differs: return "#c2410c";
    case Verdict::equivalent: case Verdict::trivial: return "#0369a1";
    default: return "#6b7280";
  }
}

/// Numbers and what consists of them, such as intervals, are never broken over lines.
bool numeric(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789+-.e[], %") == std::string::npos; }

std::string cell(const std::string& text) { return std::string("<td") + (numeric(text) ? " class=\"n\">" : ">") + escaped(text) + "</td>"; }

std::string table_html(const StudyTable& table) {
  std::string html = "<h2>" + escaped(table.title) + "</h2>\n<div class=\"wide\"><table><thead><tr>";
  for (const std::string& name : table.header) html += "<th>" + escaped(name) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const std::string& text : row) html += cell(text);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string estimates_html(const StudyResult& result) {
  StudyTable table{"All estimates", {"estimate", "value", "interval", "level", "unit", "n", "clusters", "method", "null", "p (family)", "margin", "verdict", "reason"}, {}};
  for (const Estimate& e : result.estimates) {
    // A p never stands without its family.
    const std::string p = e.p && !e.family.empty() ? format("%.3g (%s, %s)", *e.p, e.family.c_str(), e.tier.c_str()) : "";
    table.rows.push_back({e.name, number(e.value), interval(e), format("%.0f%%", e.level * 100), e.unit, std::to_string(e.n),
                          e.clusters > 0 ? std::to_string(e.clusters) : "", e.method, e.null_value ? number(*e.null_value) : "", p,
                          e.margin ? number(*e.margin) : "", std::string(verdict_name(e.verdict)), e.reason});
  }
  return table_html(table);
}

/// Places of a figure in pixels: names, plot, numbers.
struct Scale {
  double low = 0.0, high = 1.0;
  double left = 330.0;  ///< where the plot begins
  static constexpr double plot = 420.0, numbers = 330.0;
  double right() const { return left + plot; }
  double width() const { return right() + numbers; }
  double pixel(double value) const { return left + (std::clamp(value, low, high) - low) / (high - low) * plot; }
};

/// Round numbers that fall between the ends: 1, 2 or 5 times a power of ten apart.
std::vector<double> ticks(const Scale& scale) {
  const double rough = (scale.high - scale.low) / 7.0, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = rough / power < 2.0 ? 2.0 * power : rough / power < 5.0 ? 5.0 * power : 10.0 * power;
  std::vector<double> result;
  for (double at = std::ceil(scale.low / step) * step; at <= scale.high; at += step) result.push_back(std::abs(at) < step / 1e6 ? 0.0 : at);
  return result;
}

Scale scale_of(std::span<const Estimate* const> rows) {
  double low = INFINITY, high = -INFINITY;
  std::size_t longest = 20;
  for (const Estimate* row : rows) {
    for (const double each : {row->value, row->low, row->high, row->null_value.value_or(row->value), row->control.value_or(row->value)}) {
      if (std::isfinite(each)) low = std::min(low, each), high = std::max(high, each);
    }
    longest = std::max(longest, std::min(row->name.size(), longest_name));
  }
  Scale scale{.left = 7.0 * static_cast<double>(longest) + 24.0};  // 13-pixel sans serif is rarely wider
  if (!(low <= high)) return scale;
  const double room = std::max((high - low) * 0.05, std::max(std::abs(high), 1e-9) * 1e-3);
  scale.low = low - room;
  scale.high = high + room;
  return scale;
}

/// A line with caps; where an end is infinite the line is dashed and has an arrow instead.
std::string interval_svg(const Estimate& row, const Scale& scale, double y) {
  const char* color = color_of(row.verdict);
  const bool open = !std::isfinite(row.low) || !std::isfinite(row.high);
  const double from = std::isfinite(row.low) ? scale.pixel(row.low) : scale.left, to = std::isfinite(row.high) ? scale.pixel(row.high) : scale.right();
  std::string svg = format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" %s/>", from, y, to, y, color,
                           open ? "stroke-width=\"1\" stroke-dasharray=\"2 3\"" : "stroke-width=\"2.5\"");
  const auto end = [&](double x, bool finite, double outward) {
    svg += finite ? format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"1.5\"/>", x, y - 4, x, y + 4, color)
                  : format("<path d=\"M%.1f %.1f l%.1f 4 l%.1f 4\" fill=\"none\" stroke=\"%s\"/>", x - 5 * outward, y - 4, 5 * outward, -5 * outward, color);
  };
  end(from, std::isfinite(row.low), -1.0);
  end(to, std::isfinite(row.high), 1.0);
  return svg;
}

std::string row_svg(const Estimate& row, const Scale& scale, double y) {
  const char* color = color_of(row.verdict);
  std::string svg = format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", scale.left - 12, y + 4) + escaped(shortened(row.name)) + "</text>";
  if (row.null_value) {
    svg += format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#6b7280\" stroke-dasharray=\"3 2\"/>",
                  scale.pixel(*row.null_value), y - 12, scale.pixel(*row.null_value), y + 12);
  }
  const double beside = scale.right() + 15;
  const std::string verdict(verdict_name(row.verdict));
  if (std::isnan(row.value)) return svg + format("<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>", beside, y + 4, color, verdict.c_str());
  svg += interval_svg(row, scale, y);
  svg += format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>", scale.pixel(row.value), y, color);
  if (row.control) {
    svg += format("<path d=\"M%.1f %.1f l6 6 l-6 6 l-6 -6 z\" fill=\"none\" stroke=\"#111827\"/>", scale.pixel(*row.control), y - 6);
  }
  return svg + format("<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s %s, %s</text>", beside, y + 4, color, number(row.value).c_str(),
                      interval(row).c_str(), verdict.c_str());
}

/// What the signs of a figure mean; only those that it has.
std::string legend_svg(std::span<const Estimate* const> rows, double y) {
  std::string svg;
  double x = 14.0;
  const auto add = [&](const std::string& sign, const char* text, double advance) {
    svg += "<g transform=\"translate(" + format("%.1f %.1f", x, y) + ")\">" + sign + "<text x=\"14\" y=\"4\" fill=\"#374151\">" + text + "</text></g>";
    x += advance;
  };
  const auto any = [&](auto&& holds) { return std::any_of(rows.begin(), rows.end(), [&](const Estimate* row) { return holds(*row); }); };
  const auto dot = [](const char* color) {
    return format("<line x1=\"-9\" x2=\"9\" stroke=\"%s\" stroke-width=\"2.5\"/><circle r=\"4\" fill=\"%s\"/>", color, color);
  };
  add(dot(color_of(Verdict::differs)), "differs", 80);
  add(dot(color_of(Verdict::equivalent)), "equivalent within the margin, or trivial", 270);
  add(dot(color_of(Verdict::inconclusive)), "neither shown", 120);
  if (any([](const Estimate& e) { return e.null_value.has_value(); })) {
    add("<line y1=\"-8\" y2=\"8\" stroke=\"#6b7280\" stroke-dasharray=\"3 2\"/>", "null", 60);
  }
  if (any([](const Estimate& e) { return e.control.has_value(); })) {
    add("<path d=\"M0 -6 l6 6 l-6 6 l-6 -6 z\" fill=\"none\" stroke=\"#111827\"/>", "control", 80);
  }
  if (any([](const Estimate& e) { return std::isinf(e.low) || std::isinf(e.high); })) {
    add("<line x1=\"-9\" x2=\"9\" stroke=\"#6b7280\" stroke-dasharray=\"2 3\"/>", "excludes nothing", 120);
  }
  return svg;
}

constexpr const char* style = R"(
body{font:15px/1.5 system-ui,sans-serif;color:#111827;max-width:1180px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;font-size:13px;margin:.5em 0 1.5em}td,th{border-bottom:1px solid #e5e7eb;padding:.25em .6em;text-align:left;vertical-align:top}
.n{white-space:nowrap;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}td:first-child{min-width:13em}
th{background:#f3f4f6}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}pre{background:#f9fafb;padding:1em;overflow:auto;font-size:12px}
svg{max-width:100%;height:auto}@media print{body{margin:0}.wide{overflow:visible}table{font-size:9px}}
)";

}  // namespace

std::vector<std::string> units_of(std::span<const Estimate> estimates) {
  std::vector<std::string> units;
  for (const Estimate& each : estimates) {
    if (std::find(units.begin(), units.end(), each.unit) == units.end()) units.push_back(each.unit);
  }
  return units;
}

std::string forest_svg(std::span<const Estimate> estimates, std::string_view unit) {
  std::vector<const Estimate*> rows;
  for (const Estimate& each : estimates) {
    if (each.unit == unit) rows.push_back(&each);
  }
  const Scale scale = scale_of(rows);
  const double height = 26.0 * static_cast<double>(rows.size()) + 76.0, bottom = height - 60.0, width = std::max(scale.width(), 820.0);
  std::string svg = format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
                           "font-family=\"system-ui,sans-serif\" font-size=\"13\">", width, height, width, height);
  for (const double tick : ticks(scale)) {
    const double x = scale.pixel(tick);
    svg += format("<line x1=\"%.1f\" y1=\"4\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#e5e7eb\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
                  "fill=\"#6b7280\">%.4g</text>", x, x, bottom, x, bottom + 15, tick);
  }
  svg += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#374151\">", scale.left + Scale::plot / 2, bottom + 31) +
         escaped(unit) + "</text>";
  for (std::size_t i = 0; i < rows.size(); ++i) svg += row_svg(*rows[i], scale, 18.0 + 26.0 * static_cast<double>(i)) + "\n";
  return svg + legend_svg(rows, height - 10.0) + "</svg>\n";
}

std::string report_html(const StudyResult& result) {
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escaped(result.title) + "</title><style>" +
                     style + "</style></head><body>\n<h1>" + escaped(result.title) + "</h1>\n<p>" + escaped(result.question) + "</p>\n";
  html += "<p>Points are estimates, lines their intervals.</p>\n";
  for (const std::string& unit : units_of(result.estimates)) {
    html += "<h2>Estimates" + (unit.empty() ? "" : ", " + escaped(unit)) + "</h2>\n" + forest_svg(result.estimates, unit);
  }
  for (const StudyTable& table : result.tables) html += table_html(table);
  if (!result.notes.empty()) html += "<h2>To read these numbers</h2>\n<ul>\n";
  for (const std::string& note : result.notes) html += "<li>" + escaped(note) + "</li>\n";
  if (!result.notes.empty()) html += "</ul>\n";
  html += estimates_html(result);
  return html + "<h2>Signature</h2>\n<pre>" + escaped(result.signature.dump(2)) + "</pre>\n</body></html>\n";
}

}  // namespace vitrine
