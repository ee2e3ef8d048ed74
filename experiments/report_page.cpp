#include "experiments/report_page.h"

#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

constexpr const char* style = R"(
body{font:15px/1.5 system-ui,sans-serif;color:#111827;max-width:1180px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;font-size:13px;margin:.5em 0 1.5em}td,th{border-bottom:1px solid #e5e7eb;padding:.25em .6em;text-align:left;vertical-align:top}
.n{white-space:nowrap;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}td:first-child{min-width:13em}
th{background:#f3f4f6}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}pre{background:#f9fafb;padding:1em;overflow:auto;font-size:12px}
svg{max-width:100%;height:auto}@media print{body{margin:0}.wide{overflow:visible}table{font-size:9px}}
)";

/// Numbers and what consists of them, such as intervals.
bool numeric(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789+-.e[], %") == std::string::npos; }

}  // namespace

std::string page_html(std::string_view title, std::string_view body) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>" + escaped(title) + "</title><style>" + style +
         "</style></head><body>\n" + std::string(body) + "</body></html>\n";
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

std::string figure_html(const Figure& figure) { return "<div class=\"figure\">" + figure_svg(figure) + "</div>\n"; }

}  // namespace vitrine
