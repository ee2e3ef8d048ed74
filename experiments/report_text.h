#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

// How reports and pictures write text and numbers.

namespace vitrine {

/// For HTML and SVG.
std::string escaped(std::string_view text);

constexpr std::size_t longest_name = 72;

/// At most `longest_name` characters of UTF-8.
std::string shortened(const std::string& name);

/// At most 511 bytes.
template <typename... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

}  // namespace vitrine
