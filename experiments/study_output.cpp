#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <unistd.h>

#include "core/base/error.h"
#include "experiments/study.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// A field of a CSV file (RFC 4180).
std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + "\"";
}

std::string csv(const StudyTable& table) {
  std::string text;
  const auto line = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) text += (i > 0 ? "," : "") + csv_field(cells[i]);
    text += "\r\n";
  };
  line(table.header);
  for (const auto& row : table.rows) line(row);
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
  const fs::path part = fs::absolute(folder).lexically_normal().string() + ".part" + std::to_string(getpid());
  try {
    fs::create_directories(part / "figures");
    write_file(part / "study.json", to_json(result).dump(2) + "\n");
    write_file(part / "items.csv", csv(result.items));
    write_file(part / "items_long.csv", long_csv(result));
    write_file(part / "report.html", report_html(result));
    write_file(part / "LICENSES.txt", result.licenses + "\n");
    const std::vector<std::string> units = units_of(result.estimates);
    for (std::size_t i = 0; i < units.size(); ++i) {
      write_file(part / "figures" / ("estimates_" + std::to_string(i + 1) + ".svg"), forest_svg(result.estimates, units[i]));
    }
    fs::remove_all(folder);
    fs::rename(part, folder);
  } catch (const fs::filesystem_error& error) {
    std::error_code ignored;
    fs::remove_all(part, ignored);
    throw Error({"-o " + folder.string(), "to write the study", error.code().message(), ""});
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(part, ignored);
    throw;
  }
}

}  // namespace vitrine
