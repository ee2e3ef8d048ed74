#pragma once

#include <functional>
#include <string>
#include <vector>

#include "experiments/session.h"

namespace vitrine {

/// How a command whose results are rows prints them, by --format.
struct PrintedRows {
  const CommonOptions& common;
  const TextOptions& text;
  std::vector<std::string> columns;  ///< of CSV
  /// One object a row of what was made of all texts; its members are the columns.
  std::function<std::vector<Json>(std::span<const Json> results)> rows;
  std::function<void(std::span<const Json> rows)> print_table;
};

/// @param results  one object a text
void print(const Session& session, const PrintedRows& how, std::span<const InputText> inputs, std::vector<Json> results);

}  // namespace vitrine
