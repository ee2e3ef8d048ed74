#include "viewer/data/tradeoff_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t most_variants = 10'000;

/// A number, or "12 [10, 13]"; anything else is undefined.
TradeoffCell cell_of(const Json& json) {
  if (json.is_number()) return {json.number(), json.number(), json.number()};
  TradeoffCell cell;
  if (json.is_string() && std::sscanf(json.string().c_str(), "%lf [%lf, %lf]", &cell.value, &cell.low, &cell.high) == 3) return cell;
  return {};
}

/// Of speeds more is better, of everything else that the table holds less.
Direction direction_of(const std::string& heading) {
  constexpr std::array more{"tok/s", "tokens/s", "accuracy", "likelihood"};
  return std::ranges::any_of(more, [&](const char* word) { return heading.find(word) != std::string::npos; }) ? Direction::higher : Direction::lower;
}

const Json* table_of_variants(const Json& study) {
  if (!study["tables"].is_array()) return nullptr;
  for (const Json& table : study["tables"].items()) {
    if (table["rows"].is_array() && !table["rows"].items().empty() && table["rows"].items()[0]["variant"].is_string()) return &table["rows"];
  }
  return nullptr;
}

void read_table(const Json& rows, TradeoffTable& table) {
  for (const Json& row : rows.items()) {
    const std::string name = row["variant"].is_string() ? row["variant"].string() : "?";
    if (name.starts_with("numeric floor")) table.baseline = table.variants.size();
    table.controls.push_back(name.starts_with("control"));
    table.variants.push_back(name);
  }
  for (const auto& [name, ignored] : rows.items()[0].members()) {
    if (name == "variant") continue;
    TradeoffColumn column{name, "", direction_of(name), {}};
    for (const Json& row : rows.items()) column.cells.push_back(cell_of(row[name]));
    const auto defined = [](const TradeoffCell& cell) { return !std::isnan(cell.value); };
    if (std::ranges::any_of(column.cells, defined)) table.columns.push_back(std::move(column));
  }
}

/// "KL to the reference against noise as large: weights Q8_0" belongs to the variant behind the colon.
void read_estimate(const Estimate& estimate, TradeoffTable& table, std::size_t first) {
  const auto variant = std::ranges::find_if(table.variants, [&](const std::string& name) { return estimate.name.ends_with(": " + name); });
  if (variant == table.variants.end()) return;
  std::string name = estimate.name.substr(0, estimate.name.size() - variant->size() - 2);
  constexpr std::string_view against = " against noise as large";
  if (name.ends_with(against)) name.resize(name.size() - against.size());
  auto column = std::find_if(table.columns.begin() + static_cast<std::ptrdiff_t>(first), table.columns.end(), [&](const TradeoffColumn& each) { return each.name == name; });
  if (column == table.columns.end()) {
    table.columns.push_back({name, estimate.unit, estimate.direction, std::vector<TradeoffCell>(table.variants.size())});
    column = table.columns.end() - 1;
  }
  column->cells[static_cast<std::size_t>(variant - table.variants.begin())] = {estimate.value, estimate.low, estimate.high};
  // The floor has no estimate of its own: it is the control of those that are no rounded weights.
  if (table.baseline && estimate.control && estimate.name.find(against) == std::string::npos) column->cells[*table.baseline] = {*estimate.control, *estimate.control, *estimate.control};
}

/// Larger is better.
double merit(double value, Direction direction) { return direction == Direction::higher ? value : direction == Direction::lower ? -value : -std::abs(value); }

}  // namespace

TradeoffTable read_tradeoffs(const Document& study) {
  const Json* rows = table_of_variants(study.json);
  if (rows == nullptr) throw Error({study.path.string(), "a table with one row a variant", "none", "vitrine study tradeoff writes one"});
  if (rows->items().size() > most_variants) throw Error({study.path.string(), "at most 10000 variants", std::to_string(rows->items().size()), ""});
  TradeoffTable table;
  read_table(*rows, table);
  const std::size_t first = table.columns.size();
  for (const Estimate& estimate : study.estimates) read_estimate(estimate, table, first);
  return table;
}

std::vector<std::size_t> pareto_front(const TradeoffTable& table, const ParetoOrder& order) {
  struct Merits {
    std::size_t place;
    double x, y;
  };
  std::vector<Merits> all;
  for (std::size_t v = 0; v < table.variants.size(); ++v) {
    const Merits merits{v, merit(table.columns[order.x].cells[v].value, order.x_direction), merit(table.columns[order.y].cells[v].value, order.y_direction)};
    if (!table.controls[v] && std::isfinite(merits.x) && std::isfinite(merits.y)) all.push_back(merits);
  }
  std::vector<std::size_t> front;
  for (const Merits& each : all) {
    const bool beaten = std::ranges::any_of(all, [&](const Merits& other) { return other.x >= each.x && other.y >= each.y && (other.x > each.x || other.y > each.y); });
    if (!beaten) front.push_back(each.place);
  }
  std::ranges::stable_sort(front, {}, [&](std::size_t v) { return table.columns[order.x].cells[v].value; });
  return front;
}

}  // namespace vitrine
