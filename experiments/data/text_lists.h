#pragma once

#include <string>
#include <string_view>
#include <vector>

// Files of many texts. The place of a text in the list, from 0, is its id. A byte order mark at the start is skipped.

namespace vitrine {

/// One text a line. LF or CRLF ends a line, the last one needs no end; an empty line is an empty text.
std::vector<std::string> lines_of(std::string_view content);

/// The member `field` of the JSON object on each line; lines of nothing but white space are no items.
/// @throws Error naming file and line where a line is no object or the member is missing or no string
std::vector<std::string> jsonl_texts(std::string_view content, std::string_view field, std::string_view where);

/// A column of comma-separated values with a header. @throws Error
std::vector<std::string> csv_texts(std::string_view content, std::string_view column, std::string_view where);

}  // namespace vitrine
