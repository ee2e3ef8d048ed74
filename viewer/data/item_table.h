#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/csv.h"

namespace vitrine {

/// The items of a study: items.csv, one row an item.
struct ItemTable {
  Csv csv;
  std::vector<std::vector<double>> numbers;  ///< [column][row]; empty for a column of words; NaN where a cell is empty

  std::size_t rows() const { return csv.rows.size(); }
  std::size_t columns() const { return csv.header.size(); }
  /// Place of a column; columns() where there is none.
  std::size_t column(std::string_view name) const;
  bool is_number(std::size_t column) const { return !numbers[column].empty(); }
  /// Whether a column holds texts that may hurt: words other than what names and groups the items.
  bool is_text(std::size_t column) const;
  /// A cell by its column's name; empty where there is no such column.
  const std::string& cell(std::size_t row, std::string_view column) const;
  double number(std::size_t row, std::string_view column) const;
};

/// @throws Error where the file is no CSV, or larger than 256 MB or a million rows
ItemTable read_items(const std::filesystem::path& path);
/// Where a study's items lie.
std::filesystem::path items_beside(const std::filesystem::path& study_json);

/// Rows from first to last by a column: numbers by size, words by letters, empty cells last.
std::vector<std::size_t> sorted_rows(const ItemTable& items, std::vector<std::size_t> rows, std::size_t column, bool descending);

}  // namespace vitrine
