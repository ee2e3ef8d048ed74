#include "experiments/report_text.h"

namespace vitrine {

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += c;
    }
  }
  return safe;
}

std::string shortened(const std::string& name) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool first_byte = (static_cast<unsigned char>(name[i]) & 0xc0) != 0x80;
    if (first_byte && characters++ == longest_name) return name.substr(0, i) + "\u2026";
  }
  return name;
}

}  // namespace vitrine
