#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "experiments/recording_report_internal.h"
#include "experiments/report_page.h"
#include "probes/analysis.h"
#include "probes/figures/figure_text.h"
#include "probes/head_maps.h"
#include "probes/head_place.h"
#include "probes/head_score.h"
#include "probes/pooled_map.h"
#include "probes/token_labels.h"

namespace vitrine {
namespace {

constexpr std::size_t squares_of_map = 256, most_maps = 6, most_token_labels = 64;
constexpr double thumbnail_pixels = 1400.0;

using Module = Recording::Module;
constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

std::size_t tokens_of(const Recording& recording, const Module& module, std::size_t sequence) {
  return std::max(recording.rows_of(sequence, module.queries).count, recording.rows_of(sequence, module.keys).count);
}

/// "largest weight of 32 x 32 tokens", or plain "weight".
std::string unit_of(std::size_t cell) { return cell == 1 ? "weight" : "max of " + std::to_string(cell) + " x " + std::to_string(cell); }

std::string label_of(const Module& module, std::size_t head) {
  return module.name.starts_with("blocks.") ? head_label(module.block, head) : module.name + " H" + std::to_string(head);
}

/// Every head of a module; read by one thread, rebuilt by all where the file has no pyramid.
std::vector<PooledMap> pooled_maps(const RecordingReport& report, const Module& module, std::size_t cell) {
  std::vector<PooledMap> maps(module.heads);
  for (std::size_t h = 0; h < module.heads; ++h) {
    std::optional<PooledMap> stored = stored_pooled_map(report.recording, module, h, report.view.sequence, cell);
    if (!stored) break;
    maps[h] = std::move(*stored);
  }
  if (module.heads == 0 || maps.back().rows > 0) return maps;
  each_head(report.recording, module, report.view.sequence, report.pool,
            [&](std::size_t h, const Recording::Head& factors) { maps[h] = pooled_map(factors, cell); });
  return maps;
}

/// As many squares a thumbnail as let all of them stand beside each other.
std::size_t squares_of_thumbnail(std::size_t layers, std::size_t heads) {
  const double room = thumbnail_pixels / static_cast<double>(std::max(layers, heads));
  return room >= 65.0 ? 64 : room >= 33.0 ? 32 : room >= 25.0 ? 24 : room >= 17.0 ? 16 : 12;
}

/// Maps of modules whose queries, and keys, are of the same texts.
FigureGrid thumbnails(const RecordingReport& report, std::span<const Module* const> modules) {
  std::size_t heads = 0;
  for (const Module* module : modules) heads = std::max(heads, module->heads);
  const std::size_t cell =
      pooled_cell(tokens_of(report.recording, *modules.front(), report.view.sequence), squares_of_thumbnail(modules.size(), heads));
  FigureGrid grid{.title = "Attention maps, layer by head",
                  .row_axis = "layer",
                  .column_axis = "head",
                  .unit = unit_of(cell),
                  .spread = ColorSpread::square_root};
  for (std::size_t h = 0; h < heads; ++h) grid.column_labels.push_back(std::to_string(h));
  for (std::size_t m = 0; m < modules.size(); ++m) {
    const std::vector<PooledMap> maps = pooled_maps(report, *modules[m], cell);
    const std::size_t rows = maps.front().rows, columns = maps.front().columns;
    if (grid.values.empty()) {
      grid.block_rows = rows, grid.block_columns = columns, grid.rows = rows * modules.size(), grid.columns = columns * heads;
      grid.values.assign(grid.rows * grid.columns, undefined);
    }
    for (std::size_t h = 0; h < maps.size(); ++h) {
      for (std::size_t i = 0; i < maps[h].largest.size(); ++i)
        grid.values[(m * rows + i / columns) * grid.columns + h * columns + i % columns] = maps[h].largest[i];
    }
    grid.row_labels.push_back(std::to_string(modules[m]->block));
    report.run.step("maps", m + 1, modules.size());
  }
  return grid;
}

std::string thumbnails_html(const RecordingReport& report) {
  std::vector<std::vector<const Module*>> groups;
  const auto kind = [](const Module& module) {
    return module.name.substr(0, module.name.find("blocks.")) + module.name.substr(module.name.rfind('.'));
  };
  for (const Module& module : report.recording.modules()) {
    if (groups.empty() || kind(*groups.back().back()) != kind(module)) {
      const auto same = std::ranges::find_if(groups, [&](const auto& group) { return kind(*group.front()) == kind(module); });
      if (same != groups.end()) {
        same->push_back(&module);
        continue;
      }
      groups.emplace_back();
    }
    groups.back().push_back(&module);
  }
  std::string html;
  for (const auto& group : groups) {
    FigureGrid grid = thumbnails(report, group);
    if (groups.size() > 1) grid.title += ": " + kind(*group.front());
    html += figure_html({.grids = {std::move(grid)}});
  }
  return html;
}

FigureGrid score_grid(std::span<const HeadRow> table, std::size_t score) {
  const HeadScore& definition = *all_head_scores()[score];
  std::size_t layers = 0, heads = 0;
  for (const HeadRow& row : table) layers = std::max(layers, row.layer + 1), heads = std::max(heads, row.head + 1);
  std::vector<double> values(layers * heads, undefined);
  for (const HeadRow& row : table) values[row.layer * heads + row.head] = row.scores[score].value_or(undefined);
  FigureGrid grid = figure_of(head_grid(std::string(definition.name), std::string(definition.unit), heads, std::move(values)));
  if (definition.unit == "share") grid.high = 1.0, grid.spread = ColorSpread::square_root;
  return grid;
}

FigureTable score_table(std::span<const HeadRow> table) {
  FigureTable figure{.header = {"head"}};
  for (const HeadScore* score : all_head_scores())
    figure.header.push_back(std::string(score->name) + " [" + std::string(score->unit) + "]");
  for (const HeadRow& row : table) {
    std::vector<std::string>& cells = figure.rows.emplace_back(std::vector<std::string>{
        row.module.starts_with("blocks.") ? head_label(row.layer, row.head) : row.module + " H" + std::to_string(row.head)});
    for (const auto& value : row.scores) cells.push_back(number_text(value.value_or(undefined)));
  }
  return figure;
}

/// Rows of the modules of a text that looks at itself, which have a layer and a head alone.
std::vector<HeadRow> own_rows(const Recording& recording, std::span<const HeadRow> table) {
  std::vector<HeadRow> rows;
  for (const Module& module : own_modules(recording)) {
    std::ranges::copy_if(table, std::back_inserter(rows), [&](const HeadRow& row) { return row.module == module.name; });
  }
  return rows;
}

std::string scores_html(const RecordingReport& report, std::span<const HeadRow> table) {
  const std::vector<HeadRow> own = own_rows(report.recording, table);
  std::string html = heading_html(report.level, "Head scores") + "<ul>\n";
  for (const HeadScore* score : all_head_scores())
    html +=
        "<li>" + escaped(std::string(score->name) + ": " + std::string(score->summary) + " [" + std::string(score->unit) + "]") + "</li>\n";
  html +=
      "</ul>\n<p>Over all texts of the recording. Where a text defines no score (no token comes twice), there is none.</p>\n<div "
      "class=\"row\">\n";
  for (std::size_t s = 0; s < all_head_scores().size() && !own.empty(); ++s) html += figure_html({.grids = {score_grid(own, s)}});
  return html + "</div>\n<details><summary>All " + std::to_string(table.size()) + " heads as numbers</summary>\n" +
         table_html(score_table(table)) + "</details>\n";
}

/// A head whose map is drawn, and why.
struct Chosen {
  Module module;
  std::size_t head = 0;
  std::string why;
};

std::vector<Chosen> named_heads(const RecordingReport& report) {
  std::vector<Chosen> chosen;
  const std::vector<Module> modules = own_modules(report.recording);
  for (const std::string& text : report.view.heads) {
    const std::optional<HeadPlace> place = parse_head(text);
    const auto module =
        std::ranges::find_if(modules, [&](const Module& each) { return place && each.block == place->layer && place->head < each.heads; });
    if (module == modules.end()) {
      throw Error({"--heads",
                   modules.empty() ? "none: there are no attention factors"
                                   : "heads of " + report.recording.path().string() + " as L0H0, up to " +
                                         head_label(modules.back().block, modules.back().heads - 1),
                   quoted(text), ""},
                  Fault::usage);
    }
    chosen.push_back({*module, place->head, ""});
  }
  return chosen;
}

/// The head with the highest value of each score.
std::vector<Chosen> telling_heads(const RecordingReport& report, std::span<const HeadRow> table) {
  std::vector<Chosen> chosen;
  const std::vector<HeadRow> rows = own_rows(report.recording, table);
  const std::vector<Module> modules = own_modules(report.recording);
  for (std::size_t s = 0; s < all_head_scores().size() && chosen.size() < most_maps; ++s) {
    const auto best = std::ranges::max_element(rows, {}, [&](const HeadRow& row) { return row.scores[s].value_or(-1.0); });
    if (best == rows.end() || !best->scores[s]) continue;
    const std::string why = "highest " + std::string(all_head_scores()[s]->name) + ": " + number_text(*best->scores[s]) + " " +
                            std::string(all_head_scores()[s]->unit);
    const auto same =
        std::ranges::find_if(chosen, [&](const Chosen& each) { return each.module.name == best->module && each.head == best->head; });
    if (same != chosen.end())
      same->why += "; " + why;
    else
      chosen.push_back({*std::ranges::find(modules, best->module, &Module::name), best->head, why});
  }
  return chosen;
}

std::vector<std::string> place_labels(const RecordingReport& report, std::size_t count, std::size_t cell) {
  if (cell == 1 && count <= most_token_labels && report.recording.may_read(DataClass::text))
    return position_labels(report.recording, report.view.sequence);
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < count; ++i) labels.push_back(std::to_string(i * cell));
  return labels;
}

std::string map_html(const RecordingReport& report, const Chosen& chosen) {
  const std::size_t cell = pooled_cell(tokens_of(report.recording, chosen.module, report.view.sequence), squares_of_map);
  std::optional<PooledMap> map = stored_pooled_map(report.recording, chosen.module, chosen.head, report.view.sequence, cell);
  if (!map) map = pooled_map(*report.recording.head(chosen.module, chosen.head, report.view.sequence), cell);
  FigureGrid grid{.title = label_of(chosen.module, chosen.head) + (chosen.why.empty() ? "" : ": " + chosen.why),
                  .row_axis = "query",
                  .column_axis = "key",
                  .unit = unit_of(cell),
                  .rows = map->rows,
                  .columns = map->columns,
                  .row_labels = place_labels(report, map->rows, cell),
                  .column_labels = place_labels(report, map->columns, cell),
                  .values = {map->largest.begin(), map->largest.end()},
                  .spread = ColorSpread::square_root};
  double most = 0.0;
  for (const double value : grid.values) most = std::max(most, std::isnan(value) ? 0.0 : value);
  if (most > 0.0) grid.high = most;
  return figure_html({.grids = {std::move(grid)}});
}

}  // namespace

std::string heads_html(const RecordingReport& report) {
  std::string html = heading_html(report.level, "Attention");
  if (report.recording.modules().empty()) {
    if (!report.view.heads.empty()) named_heads(report);  // refuses them
    return html + "<p class=\"quiet\">No attention factors were recorded.</p>\n";
  }
  const std::vector<Chosen> named = named_heads(report);
  const bool maps = report.recording.may_read(DataClass::values);
  if (maps)
    html += "<p>Rows are queries, columns keys. A square is the largest weight among its tokens, so that no spike is lost.</p>\n" +
            thumbnails_html(report);
  else
    html += "<p class=\"quiet\">The key does not read attention maps.</p>\n";
  const std::vector<HeadRow> table = head_table(report.recording, report.pool, report.run);
  html += scores_html(report, table);
  if (!maps) return html;
  html += heading_html(report.level, "Maps") + "<div class=\"maps\">\n";
  for (const Chosen& chosen : report.view.heads.empty() ? telling_heads(report, table) : named) html += map_html(report, chosen);
  return html + "</div>\n";
}

}  // namespace vitrine
