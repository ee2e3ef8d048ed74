#include "experiments/recording_report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "experiments/recording_report_internal.h"
#include "experiments/report_page.h"
#include "probes/figures/figure_text.h"

namespace vitrine {
namespace {

constexpr double darkest_nats = 10.0;

void add_rows(const Json& json, const std::string& name, FigureTable& table) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.members()) add_rows(value, name.empty() || name == "provenance" ? key : name + " " + key, table);
  } else if (!json.is_null()) {
    const std::vector<std::string> row{name, json.is_string() ? json.string() : json.dump()};
    if (std::ranges::find(table.rows, row) == table.rows.end()) table.rows.push_back(row);  // attributes say again what `provenance` says
  }
}

std::string provenance_html(const RecordingReport& report) {
  const Recording& recording = report.recording;
  FigureTable table{.header = {"of the recording", ""}};
  table.rows.push_back(
      {"file", recording.path().filename().string() + (recording.finished() ? "" : ": unfinished, only its committed rows are shown")});
  std::size_t tokens = 0;
  for (std::size_t s = 0; s < recording.sequences(); ++s) tokens += recording.rows_of(s).count;
  table.rows.push_back({"texts", std::to_string(recording.sequences()) + " with " + std::to_string(tokens) + " tokens; shown here: text " +
                                     std::to_string(report.view.sequence) + ", counted from 0"});
  add_rows(recording.provenance(), "", table);
  return heading_html(report.level, "Where it comes from") + table_html(table);
}

FigureText text_of(const Recording& recording, std::size_t sequence, Recording::Side side) {
  FigureText text{.unit = "nats", .spans = recording.token_texts(sequence, side), .low = 0.0, .high = darkest_nats};
  const std::vector<std::int32_t> ids = recording.token_ids(sequence, side);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (text.spans[i].empty()) text.spans[i] = "#" + std::to_string(ids[i]) + " ";  // a model without a tokenizer
  }
  text.values.assign(ids.size(), std::numeric_limits<double>::quiet_NaN());
  return text;
}

std::string text_html(const RecordingReport& report) {
  const Recording& recording = report.recording;
  const std::size_t sequence = report.view.sequence;
  std::string html = heading_html(report.level, "Text");
  if (!recording.may_read(DataClass::text)) return html + "<p class=\"quiet\">The key does not read texts.</p>\n";
  if (recording.has_encoder())
    html += "<p>The encoder's text:</p>\n" + shaded_text_html(text_of(recording, sequence, Recording::Side::encoder));
  FigureText text = text_of(recording, sequence, Recording::Side::text);
  const std::vector<float> log_probabilities = recording.log_probabilities(sequence);
  double sum = 0.0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < log_probabilities.size(); ++i) {
    if (!std::isfinite(log_probabilities[i])) continue;
    text.values[i] = -static_cast<double>(log_probabilities[i]);
    sum += text.values[i];
    ++count;
  }
  const std::string tokens = std::to_string(text.spans.size()) + " tokens. ";
  if (count == 0) return html + "<p>" + tokens + "No log-probabilities were recorded.</p>\n" + shaded_text_html(text);
  html += "<p>" + tokens + "The darker a token, the less it was expected: -ln P(token | tokens before it), " +
          format("%.4g nats on average over the %zu that have one.</p>\n", sum / static_cast<double>(count), count);
  return html + shaded_text_html(text);
}

}  // namespace

std::string recording_html(const Recording& recording, const RecordingView& view, int level, ThreadPool& pool, Run& run) {
  const std::string where = recording.path().string();
  if (recording.sequences() == 0)
    throw Error(
        {where, "recorded tokens", recording.finished() ? "none" : "none: it is unfinished, and nothing was committed", "record anew"});
  if (view.sequence >= recording.sequences()) {
    throw Error({"--sequence", "0 to " + std::to_string(recording.sequences() - 1) + " of " + where, std::to_string(view.sequence), ""},
                Fault::usage);
  }
  if (recording.rows_of(view.sequence).count == 0) throw Error({where, "a text with tokens", "text " + std::to_string(view.sequence) + ", which is empty", "choose another by --sequence"});
  const RecordingReport report{recording, view, level, pool, run};
  return provenance_html(report) + text_html(report) + heads_html(report) + norms_html(report);
}

}  // namespace vitrine
