#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/run.h"
#include "core/base/thread_pool.h"
#include "core/model/model_runner.h"
#include "probes/figures/figure.h"
#include "probes/head_place.h"
#include "probes/recording.h"
#include "probes/statistics/estimate.h"

namespace vitrine {

/// A setting of an analysis: `--set name=value`.
struct AnalysisOption {
  std::string_view name;
  std::string_view meaning;
  std::string_view fallback;  ///< the value where none is given
};

/// The settings of one call, those that were not given filled in.
class AnalysisOptions {
 public:
  /// @param words  "name=value"  @throws Error (usage) on a word that the analysis does not know, naming those that it does
  AnalysisOptions(std::span<const AnalysisOption> known, std::span<const std::string> words);

  const std::string& text(std::string_view name) const;
  /// @throws Error (usage) where the value is no number of that kind within the bounds
  std::size_t whole(std::string_view name, std::size_t least, std::size_t most) const;
  double number(std::string_view name, double least, double most) const;
  bool is(std::string_view name, std::string_view value) const { return text(name) == value; }
  /// @throws Error (usage) where the value is none of these
  const std::string& choice(std::string_view name, std::initializer_list<std::string_view> of) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

/// What an analysis is given. Those of its kind (`Analysis::of`) are there.
struct AnalysisInput {
  const ModelRunner* model = nullptr;
  std::span<const ModelText> texts;  ///< not empty where there is a text at all
  std::span<const Recording* const> recordings;
  const AnalysisOptions& options;
  ThreadPool& pool;
  Run& run;
};

/// Rows of named columns. A cell that is not defined is null, and a note says why.
struct AnalysisTable {
  std::string title;                ///< with the unit
  std::vector<std::string> header;
  std::vector<std::vector<Json>> rows;
};

/// Numbers over two axes, for a picture: [rows, columns], row after row.
struct AnalysisGrid {
  std::string title, row_axis, column_axis, unit;
  std::vector<std::string> row_labels, column_labels;
  std::vector<double> values;  ///< NaN where undefined
};

struct AnalysisResult {
  std::vector<AnalysisTable> tables;
  std::vector<AnalysisGrid> grids;
  std::vector<Estimate> estimates;
  std::vector<std::string> notes;  ///< what a reader must know to read the numbers
  Json extra;                      ///< what else `--json` shows (whole matrices, coefficients); null: nothing
};

/// What an analysis looks at, as the command takes it.
enum class AnalysisOf {
  recording,       ///< RUN
  recordings,      ///< RUN RUN
  weights,         ///< MODEL, without any text
  model_and_texts  ///< MODEL and --text, --lines, ...
};

/// A question about a model or a recording. Extension point: probes/analyses/<name>.cpp; the comment at the head of the file defines
/// what is computed and names its source. `vitrine analyse <name>`.
struct Analysis {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  std::string_view example;  ///< a command line
  AnalysisOf of;
  std::span<const AnalysisOption> options;
  /// @throws Error where the input is not what the analysis can work with; Cancelled
  AnalysisResult (*run)(const AnalysisInput& input);
};

std::span<const Analysis* const> all_analyses();

/// Of a column [layer, head]: a grid with the layers as rows.
AnalysisGrid head_grid(std::string title, std::string unit, std::size_t heads, std::vector<double> values);
/// As a picture: signed numbers diverge from 0, others begin at it.
FigureGrid figure_of(const AnalysisGrid& grid);
FigureTable figure_of(const AnalysisTable& table);
/// Tables, grids, estimates and notes; numbers that are not finite are null.
Json to_json(const AnalysisResult& result);

}  // namespace vitrine
