#include "core/base/error.h"

#include <algorithm>
#include <cstdio>

namespace vitrine {
namespace {

/// Of ASCII, or a byte of one of U+0080 to U+009F, which terminals obey too.
bool is_control(std::string_view text, std::size_t at) {
  const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto is_second = [](unsigned byte) { return byte >= 0x80 && byte < 0xa0; };
  return byte(at) < 0x20 || byte(at) == 0x7f || (byte(at) == 0xc2 && is_second(byte(at + 1))) || (is_second(byte(at)) && at > 0 && byte(at - 1) == 0xc2);
}

/// The first `limit` bytes, "\x0a" for what a terminal would obey.
std::string escaped(std::string_view text, std::size_t limit) {
  std::string safe;
  for (std::size_t at = 0; at < std::min(limit, text.size()); ++at) {
    if (!is_control(text, at)) {
      safe += text[at];
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(text[at]));
    safe += escape;
  }
  return safe;
}

/// Whatever of a stranger's file is in it.
std::string one_line(const Error::Parts& parts) {
  std::string line = parts.where;
  if (!parts.expected.empty()) line += ": expected " + parts.expected;
  if (!parts.found.empty()) line += (parts.expected.empty() ? ": found " : ", found ") + parts.found;
  if (!parts.advice.empty()) line += "; " + parts.advice;
  return escaped(line, line.size());
}

}  // namespace

Error::Error(const Parts& parts, Fault fault) : std::runtime_error(one_line(parts)), fault_(fault) {}

std::string quoted(std::string_view text, std::size_t limit) { return "'" + escaped(text, limit) + (text.size() > limit ? "...'" : "'"); }

void check_failed(const char* condition, const char* file, int line) {
  throw std::logic_error(std::string(file) + ":" + std::to_string(line) + ": broken invariant: " + condition);
}

}  // namespace vitrine
