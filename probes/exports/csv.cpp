#include <charconv>
#include <cmath>
#include <fstream>

#include "core/base/error.h"
#include "probes/recording_tools/export.h"

// One number a line: sequence, position in it, the token's text, the array's name, head, index on the last axis, value. Of a
// map, `index` is the key's position. Numbers have the digits that bring the same f32 back; NaN and infinities are empty.

namespace vitrine {
namespace {

/// RFC 4180, with line breaks of a token as \n, so that a line is a number.
std::string field_of(const std::string& text) {
  std::string shown;
  for (const char c : text) shown += c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '"' ? "\"\"" : std::string(1, c);
  return "\"" + shown + "\"";
}

/// The beginning of each row's lines: sequence, position, token.
class RowNames {
 public:
  RowNames(const Recording& recording, Recording::Side side) : recording_(recording), side_(side) {}
  /// @param row  not before the one that was asked for last
  std::string of(std::size_t row) {
    Recording::Rows rows = recording_.rows_of(sequence_, side_);
    while (row >= rows.begin + rows.count) rows = recording_.rows_of(++sequence_, side_);
    if (texts_of_ != sequence_) texts_ = recording_.token_texts(texts_of_ = sequence_, side_);
    const std::size_t position = row - rows.begin;
    return std::to_string(sequence_) + "," + std::to_string(position) + "," + field_of(texts_[position]) + ",";
  }

 private:
  const Recording& recording_;
  Recording::Side side_;
  std::size_t sequence_ = 0, texts_of_ = static_cast<std::size_t>(-1);
  std::vector<std::string> texts_;
};

template <typename Number>
void append(std::string& line, Number value) {
  char text[32];
  line.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void write_array(const ExportJob& job, const ExportArray& array, std::ofstream& file) {
  const bool by_head = array.shape.size() == 3;
  const std::size_t heads = by_head ? array.shape[1] : 1, width = array.shape.size() == 1 ? 1 : array.shape.back();
  RowNames names(job.recording, array.side);
  for_pieces(array, job.progress, [&](std::size_t begin, std::size_t count) {
    const std::vector<float> numbers = array.numbers(begin, count);
    std::string lines;
    for (std::size_t row = 0; row < count; ++row) {
      const std::string first = names.of(array.first_row + begin + row) + array.name + ",";
      for (std::size_t i = 0; i < heads * width; ++i) {
        const float value = numbers[row * heads * width + i];
        lines += first;
        if (by_head || array.head) append(lines, array.head.value_or(i / width));
        lines += ",";
        append(lines, i % width);
        lines += ",";
        if (std::isfinite(value)) append(lines, value);
        lines += "\n";
      }
    }
    file << lines;
  });
}

void write(const ExportJob& job) {
  std::ofstream file(job.path, std::ios::binary);
  file << "sequence,pos,token,name,head,index,value\n";
  for (const ExportArray& array : job.arrays) write_array(job, array, file);
  if (!file.flush()) throw Error({job.path.string(), "to write the table", "no room, or no right to", ""});
}

}  // namespace

const ExportFormat& export_format_csv() {
  static const ExportFormat format{"csv", "one number a line: sequence, pos, token, name, head, index, value", write};
  return format;
}

}  // namespace vitrine
