#include "core/base/csv.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {
namespace {

class Reader {
 public:
  Reader(std::string_view text, std::string_view where) : text_(text), where_(where) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }
  bool done() const { return at_ >= text_.size(); }
  std::size_t line() const { return line_; }
  bool at_line_end() const { return text_[at_] == '\r' || text_[at_] == '\n'; }

  std::vector<std::string> record() {
    std::vector<std::string> fields;
    for (bool more = true; more;) {
      fields.push_back(!done() && text_[at_] == '"' ? quoted_field() : plain_field());
      more = !done() && text_[at_] == ',';
      if (more) ++at_;
    }
    end_of_record();
    return fields;
  }

 private:
  [[noreturn]] void fail(const char* expected, std::string found) const {
    throw Error({std::string(where_) + ", line " + std::to_string(line_), expected, std::move(found), ""});
  }

  std::string plain_field() {
    const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    std::string field(text_.substr(at_, end - at_));
    at_ = end;
    return field;
  }

  std::string quoted_field() {
    std::string field;
    const std::size_t first_line = line_;
    for (++at_; !done(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        field += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        field += text_[at_++];
      } else {
        ++at_;
        if (!done() && std::string_view(",\r\n").find(text_[at_]) == std::string_view::npos) {
          fail("a comma or the end of the line after a quoted field", quoted(text_.substr(at_, 10)));
        }
        return field;
      }
    }
    line_ = first_line;
    fail("the quote's end", "the end of the file");
  }

  void end_of_record() {
    if (done()) return;
    if (text_[at_] == '\r') ++at_;
    if (!done() && text_[at_] == '\n') ++at_;
    ++line_;
  }

  std::string_view text_, where_;
  std::size_t at_ = 0, line_ = 1;
};

}  // namespace

bool Csv::has(std::string_view name) const { return std::find(header.begin(), header.end(), name) != header.end(); }

std::size_t Csv::column(std::string_view name, std::string_view where, std::string_view advice) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found != header.end()) return static_cast<std::size_t>(found - header.begin());
  std::string known;
  for (const std::string& each : header) known += (known.empty() ? "" : ", ") + quoted(each);
  throw Error({std::string(where), "a column " + quoted(name), known, std::string(advice)});
}

Csv parse_csv(std::string_view text, std::string_view where) {
  Reader reader(text, where);
  Csv csv;
  if (reader.done()) throw Error({std::string(where), "a header line", "an empty file", ""});
  csv.header = reader.record();
  while (!reader.done()) {
    const std::size_t line = reader.line();
    const bool blank = reader.at_line_end();
    std::vector<std::string> row = reader.record();
    if (blank) continue;
    if (row.size() != csv.header.size()) {
      throw Error({std::string(where) + ", line " + std::to_string(line), std::to_string(csv.header.size()) + " fields",
                   std::to_string(row.size()), ""});
    }
    csv.rows.push_back(std::move(row));
    csv.lines.push_back(line);
  }
  return csv;
}

}  // namespace vitrine
