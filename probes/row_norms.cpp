#include "probes/row_norms.h"

#include <algorithm>
#include <cmath>

namespace vitrine {

std::vector<double> row_norms(const Recording& recording, const Recording::Dataset& dataset, Recording::Rows rows, const Run& run) {
  constexpr std::size_t rows_at_once = 1024;
  std::vector<double> norms;
  for (std::size_t begin = 0; begin < rows.count; begin += rows_at_once) {
    if (run.cancelled()) throw Cancelled();
    const std::size_t count = std::min(rows_at_once, rows.count - begin);
    const std::vector<float> numbers = recording.activation(dataset, {rows.begin + begin, count});  // [count, width]
    const std::size_t width = numbers.size() / count;
    for (std::size_t r = 0; r < count; ++r) {
      double squares = 0.0;
      for (std::size_t d = 0; d < width; ++d) squares += static_cast<double>(numbers[r * width + d]) * static_cast<double>(numbers[r * width + d]);
      norms.push_back(std::sqrt(squares));
    }
  }
  return norms;
}

}  // namespace vitrine
