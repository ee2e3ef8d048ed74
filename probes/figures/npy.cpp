#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "probes/figures/figure.h"

// numpy.lib.format, version 1.0: magic, version, length of the header (u16), the header as a Python literal whose end is on a multiple of
// 64 bytes, then the numbers.

namespace vitrine {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

std::string figure_npy(const Figure& figure) {
  if (figure.grids.empty()) throw Error({"NPY", "a picture of numbers over two axes", "none", "write it as CSV"}, Fault::usage);
  const FigureGrid& grid = figure.grids.front();
  VITRINE_CHECK(grid.values.size() == grid.rows * grid.columns);
  std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (" + std::to_string(grid.rows) + ", " + std::to_string(grid.columns) + "), }";
  constexpr std::size_t before_header = 10, alignment = 64;
  while ((before_header + header.size() + 1) % alignment != 0) header += ' ';
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  file.append(reinterpret_cast<const char*>(grid.values.data()), grid.values.size() * sizeof(double));
  return file;
}

}  // namespace vitrine
