#include "viewer/data/sweep_result.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/base/error.h"
#include "viewer/data/results.h"

namespace vitrine {
namespace {

std::string text_of(const Json& json) { return json.is_string() ? json.string() : ""; }
double number_of(const Json& json) { return json.is_number() ? json.number() : std::numeric_limits<double>::quiet_NaN(); }

SweepDirection read_direction(const Json& json, const std::string& sweep, const std::string& where) {
  SweepDirection direction{.name = text_of(json["direction"]),
                           .meaning = text_of(json["meaning"]),
                           .clean = number_of(json["clean"]),
                           .corrupt = number_of(json["corrupt"]),
                           .effect = {},
                           .raw = {},
                           .low = {},
                           .high = {},
                           .level = 0.0,
                           .method = text_of(json["method"])};
  direction.into_corrupt = direction.name != "corrupt into clean";
  FigureGrid grid{.title = sweep + ", " + direction.name, .row_axis = "layer", .column_axis = text_of(json["column_axis"]), .unit = "effect"};
  grid.values = matrix_of(json["effect"], grid.columns);
  if (grid.values.empty() || grid.columns == 0) throw Error({where, "a matrix of effects", "none", "`vitrine patch --json` writes it"});
  grid.rows = grid.values.size() / grid.columns;
  grid.column_labels = texts_of(json["columns"]);
  grid.column_labels.resize(grid.columns);
  for (std::size_t row = 0; row < grid.rows; ++row) grid.row_labels.push_back(std::to_string(row));
  direction.effect = direction.raw = grid;
  std::size_t columns = 0;
  const auto same = [&](std::vector<double> values) {
    return columns == grid.columns && values.size() == grid.values.size() ? std::move(values) : std::vector<double>();
  };
  direction.raw.values = same(matrix_of(json["raw"], columns));
  if (direction.raw.values.empty())
    throw Error({where, "raw numbers beside the effects", "none, or of another shape", "`vitrine patch --json` writes them"});
  direction.raw.unit = "logits";
  direction.low = same(matrix_of(json["low"], columns));
  direction.high = same(matrix_of(json["high"], columns));
  if (direction.low.empty() || direction.high.empty()) direction.low.clear(), direction.high.clear();
  if (json["level"].is_number()) direction.level = json["level"].number();
  choose_colors(direction.effect, direction.idle(), Middle::always);
  choose_colors(direction.raw, 0.0, Middle::always);
  return direction;
}

/// In single quotes, as a shell takes it.
std::string in_quotes(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

/// "blocks.12.attn.hook_z" of "z" in layer 12.
std::string hook_of(const std::string& sweep, std::size_t layer) {
  constexpr std::array attention{"q", "k", "v", "z"};
  const std::string block = "blocks." + std::to_string(layer) + ".";
  if (std::ranges::count(attention, sweep) > 0) return block + "attn.hook_" + sweep;
  if (sweep == "mlp_post") return block + "mlp.hook_post";
  return block + "hook_" + sweep;
}

}  // namespace

SweepResult read_sweep(const Json& json, const std::string& where) {
  SweepResult result{.sweep = text_of(json["sweep"]),
                     .method = text_of(json["method"]),
                     .pairs = 0,
                     .directions = {},
                     .notes = notes_of(json),
                     .question = json["question"],
                     .signature = json["signature"]};
  if (json["pairs"].is_integer() && json["pairs"].integer() > 0) result.pairs = static_cast<std::size_t>(json["pairs"].integer());
  result.directions.push_back(read_direction(json, result.sweep, where));
  if (json["reverse"].is_object()) result.directions.push_back(read_direction(json["reverse"], result.sweep, where + ", reverse"));
  return result;
}

SweptCell swept_cell(const SweepDirection& direction, std::size_t row, std::size_t column) {
  SweptCell cell{.layer = row, .head = {}, .position = {}};
  const std::string& label = direction.effect.column_labels[column];
  const std::string& axis = direction.effect.column_axis;
  if (axis == "position") cell.position = column;
  if (axis == "head") cell.head = column;
  if (axis == "head and position" && label.starts_with("H")) {  // "H3 5 the"
    const std::string rest = label.substr(1);
    cell.head = number_in_front(rest);
    if (const std::size_t space = rest.find(' '); space != std::string::npos) cell.position = number_in_front(rest.substr(space + 1));
  }
  return cell;
}

std::vector<std::string> commands_of_cell(const SweepResult& sweep, const SweepDirection& direction, const SweptCell& cell) {
  const Json& asked = sweep.question;
  constexpr std::array repeatable{"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_post", "z", "q", "k", "v"};
  const bool plain = asked["tokens"].is_integer() && asked["clean"].is_string() && asked["answer"].is_string() && asked["wrong"].is_string() &&
                     !asked.has("to") && !asked.has("from") && !asked.has("position");
  if (!plain || std::ranges::count(repeatable, sweep.sweep) == 0) return {};
  const std::string model = in_quotes(text_of(asked["model"])), hook = hook_of(sweep.sweep, cell.layer);
  const std::string clean = in_quotes(text_of(asked["clean"])), corrupt = in_quotes(text_of(asked["corrupt"]));
  const std::string& source = direction.into_corrupt ? clean : corrupt;
  const std::string& base = direction.into_corrupt ? corrupt : clean;
  std::string change = "patch:" + hook + ":from=source.h5";
  if (cell.head) change += ",head=" + std::to_string(*cell.head);
  change += ",position=" + (cell.position ? std::to_string(*cell.position) : "0.." + std::to_string(asked["tokens"].integer() - 1));
  const std::string same = std::string(" --precision exact") +
                           (asked["bos"].is_string() && asked["bos"].string() != "auto" ? " --bos " + in_quotes(asked["bos"].string()) : "");
  return {"vitrine record " + model + " --text " + source + " --points " + hook + " --attention none" + same + " -o source.h5",
          "vitrine score " + model + " --text " + base + same + " --continuation " + in_quotes(text_of(asked["answer"])) + " --continuation " +
              in_quotes(text_of(asked["wrong"])) + " --intervene " + in_quotes(change)};
}

}  // namespace vitrine
