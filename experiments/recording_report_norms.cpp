#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "experiments/recording_report_internal.h"
#include "experiments/report_page.h"
#include "probes/pooled_map.h"
#include "probes/row_norms.h"

namespace vitrine {
namespace {

constexpr std::size_t most_columns = 240;

/// A dataset of the residual stream, and where in the model it stands.
struct ResidualRows {
  const Recording::Dataset* dataset;
  std::size_t block = 0, part = 0;  ///< pre, mid, post
  std::string name() const { return std::to_string(block) + (part == 0 ? " pre" : part == 1 ? " mid" : " post"); }
};

std::optional<ResidualRows> stream_of(const Recording::Dataset& dataset) {
  constexpr std::string_view parts[] = {"pre", "mid", "post"}, hook = ".hook_resid_", blocks = "blocks.";
  const std::string_view name = dataset.name;
  const std::size_t begin = name.find(blocks), end = name.find(hook);
  if (dataset.side != Recording::Side::text || begin == std::string_view::npos || end == std::string_view::npos ||
      dataset.shape.size() != 2)
    return {};
  ResidualRows stream{&dataset};
  std::from_chars(name.data() + begin + blocks.size(), name.data() + end, stream.block);
  const auto part = std::ranges::find(parts, name.substr(end + hook.size()));
  if (part == std::end(parts)) return {};
  stream.part = static_cast<std::size_t>(part - std::begin(parts));
  return stream;
}

/// Where the stream after a block is the one before the next, it is shown once.
std::vector<ResidualRows> streams_of(const Recording& recording) {
  std::vector<ResidualRows> streams;
  for (const Recording::Dataset& dataset : recording.activations()) {
    if (const auto stream = stream_of(dataset)) streams.push_back(*stream);
  }
  std::ranges::sort(streams, {}, [](const ResidualRows& stream) { return std::pair(stream.block, stream.part); });
  std::vector<ResidualRows> shown;
  std::ranges::copy_if(streams, std::back_inserter(shown), [&](const ResidualRows& stream) {
    return stream.part != 2 ||
           std::ranges::none_of(streams, [&](const ResidualRows& other) { return other.block == stream.block + 1 && other.part == 0; });
  });
  return shown;
}

/// The largest of each `cell` norms. A NaN stays: it is shown as undefined.
void append_largest(const std::vector<double>& norms, std::size_t cell, std::vector<double>& values) {
  for (std::size_t row = 0; row < norms.size(); ++row) {
    if (row % cell == 0) values.push_back(0.0);
    if (!(norms[row] <= values.back()) && !std::isnan(values.back())) values.back() = norms[row];
  }
}

}  // namespace

std::string norms_html(const RecordingReport& report) {
  std::string html = heading_html(report.level, "Residual stream");
  if (!report.recording.may_read(DataClass::values)) return html + "<p class=\"quiet\">The key does not read activations.</p>\n";
  const std::vector<ResidualRows> streams = streams_of(report.recording);
  const Recording::Rows rows = report.recording.rows_of(report.view.sequence);
  if (streams.empty() || rows.count == 0) return html + "<p class=\"quiet\">No residual stream was recorded.</p>\n";
  const std::size_t cell = pooled_cell(rows.count, most_columns);
  FigureGrid grid{.title = "Norms of the residual stream",
                  .row_axis = "block",
                  .column_axis = "position",
                  .unit = cell == 1 ? "L2 norm" : "max of " + std::to_string(cell),
                  .rows = streams.size(),
                  .columns = (rows.count + cell - 1) / cell,
                  .spread = ColorSpread::logarithmic};
  for (std::size_t s = 0; s < streams.size(); ++s) {
    append_largest(row_norms(report.recording, *streams[s].dataset, rows, report.run), cell, grid.values);
    grid.row_labels.push_back(streams[s].name());
    report.run.step("norms", s + 1, streams.size());
  }
  for (std::size_t c = 0; c < grid.columns; ++c) grid.column_labels.push_back(std::to_string(c * cell));
  double low = INFINITY, high = 0.0;
  for (double& value : grid.values) {
    if (!std::isfinite(value))
      value = std::numeric_limits<double>::quiet_NaN();
    else if (value > 0.0)
      low = std::min(low, value), high = std::max(high, value);
  }
  if (low < high) grid.low = low, grid.high = high;
  return html +
         "<p>From top to bottom the stream before each block (pre), behind its attention (mid), and behind the last one (post).</p>\n" +
         figure_html({.grids = {std::move(grid)}});
}

}  // namespace vitrine
