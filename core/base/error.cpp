#include "core/base/error.h"

#include <cstdio>

namespace vitrine {
namespace {

std::string one_line(const Error::Parts& parts) {
  std::string line = parts.where;
  if (!parts.expected.empty()) line += ": expected " + parts.expected;
  if (!parts.found.empty()) line += (parts.expected.empty() ? ": found " : ", found ") + parts.found;
  if (!parts.advice.empty()) line += "; " + parts.advice;
  return line;
}

}  // namespace

Error::Error(const Parts& parts, Fault fault) : std::runtime_error(one_line(parts)), fault_(fault) {}

std::string quoted(std::string_view text, std::size_t limit) {
  std::string safe = "'";
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      safe += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      safe += escape;
    }
  }
  return safe + (text.size() > limit ? "...'" : "'");
}

void check_failed(const char* condition, const char* file, int line) {
  throw std::logic_error(std::string(file) + ":" + std::to_string(line) + ": broken invariant: " + condition);
}

}  // namespace vitrine
