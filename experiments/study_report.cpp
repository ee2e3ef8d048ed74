#include <algorithm>
#include <cmath>

#include "experiments/report_page.h"
#include "experiments/study.h"
#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

FigureTable table_of(std::span<const Estimate> estimates) {
  FigureTable table{.title = "All estimates",
                    .header = {"estimate", "value", "interval", "level", "unit", "n", "clusters", "method", "null", "p (family)", "margin",
                               "verdict", "reason"}};
  for (const Estimate& e : estimates) {
    // A p never stands without its family.
    const std::string p = e.p && !e.family.empty() ? format("%.3g (%s, %s)", *e.p, e.family.c_str(), e.tier.c_str()) : "";
    table.rows.push_back({e.name, number_text(e.value), interval_text(e), format("%.0f%%", e.level * 100), e.unit, std::to_string(e.n),
                          e.clusters > 0 ? std::to_string(e.clusters) : "", e.method, e.null_value ? number_text(*e.null_value) : "", p,
                          e.margin ? number_text(*e.margin) : "", std::string(verdict_name(e.verdict)), e.reason});
  }
  return table;
}

std::string titled_table(const FigureTable& table, int level) { return heading_html(level, table.title) + table_html(table); }

}  // namespace

FigureEstimates estimates_in(std::span<const Estimate> estimates, std::string_view unit) {
  FigureEstimates figure;
  std::ranges::copy_if(estimates, std::back_inserter(figure.rows), [&](const Estimate& estimate) { return estimate.unit == unit; });
  return figure;
}

std::string study_html(const StudyResult& result, int level) {
  std::string html = "<p>" + escaped(result.question) + "</p>\n";
  if (!result.estimates.empty()) html += "<p>Points are estimates, lines their intervals.</p>\n";
  for (const std::string& unit : units_of(result.estimates)) {
    html += heading_html(level, unit.empty() ? "Estimates" : "Estimates, " + unit) +
            figure_html({.estimates = {estimates_in(result.estimates, unit)}});
  }
  for (const FigureTable& table : result.tables) html += titled_table(table, level);
  if (!result.notes.empty()) html += heading_html(level, "To read these numbers") + list_html(result.notes);
  if (!result.estimates.empty()) html += titled_table(table_of(result.estimates), level);
  return html + heading_html(level, "Signature") + "<pre>" + escaped(result.signature.dump(2)) + "</pre>\n";
}

std::string report_html(const StudyResult& result) {
  return page_html(result.title, heading_html(1, result.title) + study_html(result, 2));
}

}  // namespace vitrine
