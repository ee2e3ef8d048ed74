#include "core/base/csv_line.h"

namespace vitrine {

std::string csv_line(std::span<const std::string> fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line += ',';
    // An empty field that stands alone would be a blank line.
    const bool plain = fields[i].find_first_of(",\"\r\n") == std::string::npos && !(fields.size() == 1 && fields[i].empty());
    if (!plain) line += '"';
    for (const char c : fields[i]) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    if (!plain) line += '"';
  }
  return line + "\r\n";
}

}  // namespace vitrine
