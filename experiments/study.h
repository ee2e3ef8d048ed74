#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "probes/figures/figure.h"
#include "probes/statistics/estimate.h"

namespace CLI {
class App;
}

namespace vitrine {

struct CommonOptions;

/// An experiment with a question, controls and a report. Extension point: experiments/studies/<name>.cpp;
/// `vitrine study <name>`.
struct Study {
  std::string_view name;
  std::string_view summary;
  std::string_view example;
  /// Declares options on `app` and returns what runs once they are parsed. @throws Error
  std::function<void()> (*declare)(CLI::App& app);
};

std::span<const Study* const> all_studies();

/// Cells as they are printed; numbers are made text by the study, which knows their precision.
using StudyTable = FigureTable;

/// What a study leaves behind.
struct StudyResult {
  std::string study;     ///< name in the table of studies
  std::string title;     ///< with the model
  std::string question;  ///< one or two sentences for the head of the report
  Json signature;        ///< data hash, protocol, precision, kernel, version, ...
  std::vector<Estimate> estimates;
  std::vector<std::string> notes;  ///< what a reader must know to read the numbers
  std::vector<StudyTable> tables;
  StudyTable items;  ///< items.csv: one row an item, in the file's order
  std::string licenses;
};

Json to_json(const StudyResult& result);

/// Writes study.json, items.csv, items_long.csv, items.h5 (the columns of items.csv, probes/table_file.h), report.html,
/// figures/*.svg and LICENSES.txt. The folder appears in one step; an older study of the same name is replaced.
/// @throws Error where the folder is something else
void write_study(const StudyResult& result, const std::filesystem::path& folder);

/// What to_json() wrote of a finished study; its items are not read. @throws Error where the folder has none
StudyResult read_study(const std::filesystem::path& folder);

/// The end of a study: writes it, then prints its JSON where that is asked for, else what `print` shows of it and where the report is.
void deliver_study(const StudyResult& result, const std::string& folder, const CommonOptions& common, void (*print)(const StudyResult& result));

/// Refuses a folder that write_study would refuse, before any work is done.
void check_study_folder(const std::filesystem::path& folder);

/// The estimates of one unit, for a picture of their own.
FigureEstimates estimates_in(std::span<const Estimate> estimates, std::string_view unit);
/// report.html
std::string report_html(const StudyResult& result);
/// What stands below the title of a study: question, estimates, tables, notes, signature. @param level  of its headings, 2 in report.html
std::string study_html(const StudyResult& result, int level);

}  // namespace vitrine
