#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "viewer/data/results.h"
#include "viewer/draw/heat_map.h"

namespace vitrine {

/// A table that sorts by any column and shows every number with a bar behind it; signed ones from the middle.
class TableView {
 public:
  void set(ResultTable table);
  const ResultTable& table() const { return table_; }
  /// The rows in the order in which they are seen.
  ResultTable sorted() const;
  /// Takes `size` of the current window from the cursor on.
  /// @param name  rows are "name/row/<number in the file>" in the registry of items, headers "name/column/<number>"
  /// @returns the row that was clicked, as the file counts
  std::optional<std::size_t> draw(std::string_view name, Corner size);

 private:
  /// What the bars of a column are drawn by.
  struct Column {
    bool numbers = false, is_signed = false;
    double reach = 0.0;  ///< the largest size of a number
  };
  void sort(std::size_t column, bool descending);
  void draw_cell(std::size_t row, std::size_t column) const;

  ResultTable table_;
  std::vector<Column> columns_;
  std::vector<std::size_t> order_;
};

}  // namespace vitrine
