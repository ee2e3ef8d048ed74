#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/part_file.h"
#include "experiments/session.h"
#include "experiments/study.h"
#include "probes/table_file.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::string csv(const StudyTable& table) {
  std::string text = csv_line(table.header);
  for (const auto& row : table.rows) text += csv_line(row);
  return text;
}

bool is_number(const std::string& text) {
  char* end = nullptr;
  std::strtod(text.c_str(), &end);
  return !text.empty() && end == text.c_str() + text.size();
}

/// The numbers of items.csv, one a row: item, model, variant, metric, value.
std::string long_csv(const StudyResult& result) {
  StudyTable table{"", {"item", "model", "variant", "metric", "value"}, {}};
  const std::string model = result.signature["model"].is_string() ? result.signature["model"].string() : "";
  for (const auto& row : result.items.rows) {
    for (std::size_t c = 1; c < row.size(); ++c) {
      if (is_number(row[c])) table.rows.push_back({row[0], model, "", result.items.header[c], row[c]});
    }
  }
  return csv(table);
}

/// A column is numbers where every cell is a number or empty, and one at least is a number.
TableColumn column_of(const StudyTable& table, std::size_t place) {
  std::vector<std::string> texts;
  for (const auto& row : table.rows) texts.push_back(row[place]);
  const auto empty = [](const std::string& text) { return text.empty(); };
  const bool numbers = std::all_of(texts.begin(), texts.end(), [](const std::string& text) { return text.empty() || is_number(text); }) &&
                       !std::all_of(texts.begin(), texts.end(), empty);
  if (!numbers) return {table.header[place], std::move(texts)};
  std::vector<double> values;
  for (const std::string& text : texts) {
    values.push_back(text.empty() ? std::numeric_limits<double>::quiet_NaN() : std::strtod(text.c_str(), nullptr));
  }
  return {table.header[place], std::move(values)};
}

/// items.csv as columns; the attributes say which study and program made them.
TableFile items_file(const StudyResult& result) {
  TableFile file{{{"study", result.study}, {"title", result.title}, {"program_version", VITRINE_VERSION}}, {}};
  for (std::size_t c = 0; c < result.items.header.size(); ++c) file.columns.push_back(column_of(result.items, c));
  return file;
}

void write_file(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.flush();
  if (!file) throw Error({path.string(), "to write the study", "no room or no right to", ""});
}

}  // namespace

Json to_json(const StudyResult& result) {
  Json estimates = Json::array(), notes = Json::array(), tables = Json::array();
  for (const Estimate& estimate : result.estimates) estimates.push(to_json(estimate));
  for (const std::string& note : result.notes) notes.push(note);
  for (const StudyTable& table : result.tables) {
    Json rows = Json::array();
    for (const auto& row : table.rows) {
      Json cells;
      for (std::size_t i = 0; i < row.size() && i < table.header.size(); ++i) {
        cells.set(table.header[i], is_number(row[i]) ? Json(std::strtod(row[i].c_str(), nullptr)) : Json(row[i]));
      }
      rows.push(cells);
    }
    tables.push(Json::object().set("title", table.title).set("rows", rows));
  }
  Json json;
  json.set("study", result.study).set("title", result.title).set("question", result.question);
  json.set("signature", result.signature).set("estimates", estimates).set("tables", tables);
  return json.set("notes", notes);
}

void check_study_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored) || (fs::is_directory(folder, ignored) && fs::is_empty(folder, ignored))) return;
  if (fs::is_regular_file(folder / "study.json", ignored)) return;
  throw Error({"-o " + folder.string(), "a new folder, or one with an older study", "something else", "choose another name"}, Fault::usage);
}

void write_study(const StudyResult& result, const fs::path& folder) {
  check_study_folder(folder);
  PartFolder whole(folder);
  const fs::path& part = whole.path();
  try {
    fs::create_directories(part / "figures");
    write_file(part / "study.json", to_json(result).dump(2) + "\n");
    write_file(part / "items.csv", csv(result.items));
    write_file(part / "items_long.csv", long_csv(result));
    write_table_file(part / "items.h5", items_file(result));
    write_file(part / "report.html", report_html(result));
    write_file(part / "LICENSES.txt", result.licenses + "\n");
    const std::vector<std::string> units = units_of(result.estimates);
    for (std::size_t i = 0; i < units.size(); ++i) {
      write_file(part / "figures" / ("estimates_" + std::to_string(i + 1) + ".svg"), figure_svg({.estimates = {estimates_in(result.estimates, units[i])}}));
    }
  } catch (const fs::filesystem_error& error) {
    throw Error({"-o " + folder.string(), "to write the study", error.code().message(), ""});
  }
  whole.commit();
}

void deliver_study(const StudyResult& result, const std::string& folder, const CommonOptions& common, void (*print)(const StudyResult& result)) {
  write_study(result, folder);
  if (common.json) {
    std::puts(to_json(result).dump(2).c_str());
    return;
  }
  print(result);
  std::printf("report: %s/report.html\n", folder.c_str());
}

}  // namespace vitrine
