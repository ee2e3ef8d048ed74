#include "viewer/data/item_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::uintmax_t largest_file = 256u << 20;
constexpr std::size_t most_rows = 1'000'000;
constexpr std::array<std::string_view, 5> naming_columns{"item", "group", "direction", "variant", "model"};

/// NaN where it is empty, none where it is a word.
bool number_of(const std::string& text, double& value) {
  char* end = nullptr;
  value = text.empty() ? std::numeric_limits<double>::quiet_NaN() : std::strtod(text.c_str(), &end);
  return text.empty() || end == text.c_str() + text.size();
}

std::vector<double> numbers_of(const Csv& csv, std::size_t column) {
  std::vector<double> values;
  bool any = false;
  for (const auto& row : csv.rows) {
    if (!number_of(row[column], values.emplace_back())) return {};
    any |= !row[column].empty();
  }
  return any ? values : std::vector<double>();
}

}  // namespace

std::size_t ItemTable::column(std::string_view name) const { return static_cast<std::size_t>(std::ranges::find(csv.header, name) - csv.header.begin()); }

bool ItemTable::is_text(std::size_t column) const { return !is_number(column) && std::ranges::find(naming_columns, csv.header[column]) == naming_columns.end(); }

const std::string& ItemTable::cell(std::size_t row, std::string_view name) const {
  static const std::string none;
  const std::size_t place = column(name);
  return place < columns() ? csv.rows[row][place] : none;
}

double ItemTable::number(std::size_t row, std::string_view name) const {
  const std::size_t place = column(name);
  return place < columns() && is_number(place) ? numbers[place][row] : std::numeric_limits<double>::quiet_NaN();
}

ItemTable read_items(const std::filesystem::path& path) {
  std::error_code failed;
  const std::uintmax_t bytes = std::filesystem::file_size(path, failed);
  if (failed) throw Error({path.string(), "the items of the study", failed.message(), "they lie beside its study.json"});
  if (bytes > largest_file) throw Error({path.string(), "at most 256 MB", std::to_string(bytes >> 20) + " MB", ""});
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ItemTable items;
  items.csv = parse_csv(text, path.string());
  if (items.rows() > most_rows) throw Error({path.string(), "at most a million rows", std::to_string(items.rows()), ""});
  for (std::size_t c = 0; c < items.columns(); ++c) items.numbers.push_back(numbers_of(items.csv, c));
  return items;
}

std::filesystem::path items_beside(const std::filesystem::path& study_json) { return study_json.parent_path() / "items.csv"; }

std::vector<std::size_t> sorted_rows(const ItemTable& items, std::vector<std::size_t> rows, std::size_t column, bool descending) {
  if (items.is_number(column)) {
    const std::vector<double>& values = items.numbers[column];
    std::ranges::stable_sort(rows, [&](std::size_t a, std::size_t b) {
      if (std::isnan(values[a]) || std::isnan(values[b])) return !std::isnan(values[a]) && std::isnan(values[b]);
      return descending ? values[a] > values[b] : values[a] < values[b];
    });
    return rows;
  }
  std::ranges::stable_sort(rows, [&](std::size_t a, std::size_t b) {
    const std::string &left = items.csv.rows[a][column], &right = items.csv.rows[b][column];
    if (left.empty() || right.empty()) return !left.empty() && right.empty();
    return descending ? left > right : left < right;
  });
  return rows;
}

}  // namespace vitrine
