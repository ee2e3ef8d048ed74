#include "experiments/report_page.h"

#include <algorithm>
#include <cmath>

#include "probes/figures/figure_text.h"
#include "probes/figures/token_label.h"

namespace vitrine {
namespace {

constexpr const char* style = R"(
body{font:15px/1.5 system-ui,sans-serif;color:#111827;max-width:1180px;margin:2em auto;padding:0 1em;print-color-adjust:exact;-webkit-print-color-adjust:exact}
table{border-collapse:collapse;font-size:13px;margin:.5em 0 1.5em}td,th{border-bottom:1px solid #e5e7eb;padding:.25em .6em;text-align:left;vertical-align:top}
.n{white-space:nowrap;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}td:first-child{min-width:13em}
th{background:#f3f4f6}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}h3{font-size:1em;margin-top:1.4em}.quiet{color:#6b7280}
pre,.text{background:#f9fafb;padding:1em;overflow:auto;font-size:12px}td{overflow-wrap:break-word}pre{white-space:pre-wrap;overflow-wrap:anywhere}
.text{font:13px/1.7 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}.text b{font-weight:normal}.text{max-height:34em}
.figure{overflow-x:auto;margin:.5em 0}.row{display:flex;flex-wrap:wrap;gap:.5em}.row .figure{flex:0 1 auto;min-width:0}
svg{max-width:100%;height:auto}section{border-top:2px solid #d1d5db;margin-top:2.5em}summary{cursor:pointer;color:#374151}
@media print{body{margin:0;max-width:none;font-size:12px}.wide,.figure,pre{overflow:visible}table{font-size:9px}.figure,tr{break-inside:avoid}h1,h2,h3{break-after:avoid}
svg{max-height:215mm}.maps svg{max-height:122mm}.row .figure{width:32%}ul{break-inside:avoid}p:has(+.figure){break-after:avoid}.text{font-size:9px;max-height:none}@page{margin:14mm}}
)";

constexpr std::size_t shades = 16;

Color shade(std::size_t place) { return color_at(ColorMap::diverging, 0.5 + 0.42 * static_cast<double>(place) / (shades - 1)); }

std::string hex(const Color& color) {
  const auto byte = [](float part) { return static_cast<int>(part * 255.0f + 0.5f); };
  return format("#%02x%02x%02x", byte(color.red), byte(color.green), byte(color.blue));
}

std::string shade_style() {
  std::string css;
  for (std::size_t i = 0; i < shades; ++i)
    css += format(".s%zu{background:%s;color:%s}", i, hex(shade(i)).c_str(), hex(ink_on(shade(i))).c_str());
  return css + "\n";
}

/// Numbers and what consists of them, such as intervals.
bool numeric(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789+-.e[], %") == std::string::npos; }

}  // namespace

std::string page_html(std::string_view title, std::string_view body) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>" +
         escaped(title) + "</title><style>" + style + shade_style() + "</style></head><body>\n" + std::string(body) + "</body></html>\n";
}

std::string heading_html(int level, std::string_view text) { return format("<h%d>", level) + escaped(text) + format("</h%d>\n", level); }

std::string table_html(const FigureTable& table) {
  std::string html = "<div class=\"wide\"><table><thead><tr>";
  for (const std::string& name : table.header) html += "<th>" + escaped(name) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const std::string& text : row) html += std::string("<td") + (numeric(text) ? " class=\"n\">" : ">") + escaped(text) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string list_html(std::span<const std::string> lines) {
  if (lines.empty()) return {};
  std::string html = "<ul>\n";
  for (const std::string& line : lines) html += "<li>" + escaped(line) + "</li>\n";
  return html + "</ul>\n";
}

std::string shaded_text_html(const FigureText& text) {
  std::string html = "<div class=\"text\">";
  for (std::size_t i = 0; i < text.spans.size(); ++i) {
    const std::string label = running_text(text.spans[i]);
    const double value = text.values[i];
    const std::string place =
        "title=\"" + std::to_string(i) + (std::isnan(value) ? "" : format(": %.3g ", value) + escaped(text.unit)) + "\"";
    const auto shaded =
        std::isnan(value) ? 0 : std::lround(spread_position(ColorSpread::linear, value, text.low, text.high) * (shades - 1));
    html += (std::isnan(value) ? "<b " : format("<b class=s%ld ", shaded)) + place + ">" + escaped(label) + "</b>" +
            (text.spans[i].ends_with('\n') ? "\n" : "");
  }
  html += "</div>\n";
  if (std::ranges::all_of(text.values, [](double value) { return std::isnan(value); })) return html;
  html += "<p class=\"quiet\">";
  for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    html += format("<span class=s%ld>&nbsp;%s%.3g&nbsp;</span>", std::lround(share * (shades - 1)), share == 1.0 ? "\u2265 " : "",
                   text.low + share * (text.high - text.low));
  }
  return html + " " + escaped(text.unit) + "</p>\n";
}

std::string figure_html(const Figure& figure) { return "<div class=\"figure\">" + figure_svg(figure) + "</div>\n"; }

}  // namespace vitrine
