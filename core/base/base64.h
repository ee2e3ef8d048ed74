#pragma once

#include <string>
#include <string_view>

namespace vitrine {

/// As URLs and JSON hold bytes (RFC 4648), with padding.
std::string base64_of(std::string_view bytes);
/// Back, with padding or without. @throws Error naming `where` where it is no base64
std::string bytes_of_base64(std::string_view text, const std::string& where);

}  // namespace vitrine
