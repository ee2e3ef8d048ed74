#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace vitrine {

/// A JSON value as a cell: strings as they are, null as nothing.
std::string cell_of(const Json& value);

/// The named members of each object as comma-separated values with a header.
std::string csv_of(std::span<const Json> rows, std::span<const std::string> columns);

/// The result for many texts: {"sequences": [...], "signature": ...}. @param results  one object a text, which gets its id
Json sequences_of(std::vector<Json> results, Json signature);

}  // namespace vitrine
