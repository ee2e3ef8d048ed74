#pragma once

#include <span>
#include <string>

namespace vitrine {

/// A record of comma-separated values as RFC 4180 writes it, quoted where needed, with its line end.
std::string csv_line(std::span<const std::string> fields);

}  // namespace vitrine
