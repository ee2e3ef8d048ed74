#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/csv_line.h"

namespace vitrine {

struct Csv {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  ///< each as long as the header
  std::vector<std::size_t> lines;              ///< line on which each row begins, from 1

  /// Place of a column. @throws Error naming those there are and saying `advice`
  std::size_t column(std::string_view name, std::string_view where, std::string_view advice = {}) const;
  bool has(std::string_view name) const;
};

/// Comma-separated values with a header (RFC 4180: quotes, doubled quotes, line breaks in quotes; LF is taken too). A line
/// without a single character is no row.
/// @throws Error naming the line
Csv parse_csv(std::string_view text, std::string_view where);

}  // namespace vitrine
