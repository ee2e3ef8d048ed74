#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "kernels/ops/adjoints.h"
#include "kernels/ops/library_product.h"

namespace vitrine {
namespace {

constexpr std::size_t parts = 8;               // of the weight's rows; fixed, so that sums do not depend on the number of threads
constexpr std::size_t panel_numbers = 131072;  // of an expanded panel: half of a second-level cache

/// What one thread keeps.
struct Scratch {
  LibraryProduct product;
  std::vector<float> panel, sums;
};

/// target += g[:, first, first + count) * rows [first, first + count) of the weight.
void add_part(TensorView<const float, 2> g, const Weight& weight, std::size_t begin, std::size_t end, float* target) {
  static thread_local Scratch scratch;  // its primitives are made once for each shape
  const std::size_t rows = g.extent(0), columns = weight.cols, stride = padded_to_chunk(columns),
                    step = std::max<std::size_t>(16, panel_numbers / stride);
  scratch.panel.resize(std::max(scratch.panel.size(), step * stride));
  scratch.sums.resize(std::max(scratch.sums.size(), rows * columns));
  for (std::size_t first = begin; first < end; first += step) {
    const std::size_t count = std::min(step, end - first);
    expand_panel(panel_of(weight, first, count), DenseRows<float>{scratch.panel.data(), stride, count});
    scratch.product.rows_by_columns({g.data() + first, g.stride(0), rows}, {scratch.panel.data(), stride, count}, columns,
                                    {scratch.sums.data(), columns, rows});
    for (std::size_t i = 0; i < rows * columns; ++i) target[i] += scratch.sums[i];
  }
}

}  // namespace

void multiply_transposed(ThreadPool& pool, TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) {
  VITRINE_CHECK(g.extent(1) == weight.rows && out.extent(1) == weight.cols && out.extent(0) == g.extent(0));
  const std::size_t rows = g.extent(0), columns = weight.cols, step = (weight.rows + parts - 1) / parts;
  std::vector<float> sums(parts * rows * columns, 0.0f);
  pool.run(parts, [&](std::size_t part, std::size_t) {
    const std::size_t begin = std::min(weight.rows, part * step);
    add_part(g, weight, begin, std::min(weight.rows, begin + step), sums.data() + part * rows * columns);
  });
  pool.run(rows, [&](std::size_t r, std::size_t) {
    for (std::size_t c = 0; c < columns; ++c) {
      float sum = 0.0f;
      for (std::size_t part = 0; part < parts; ++part) sum += sums[(part * rows + r) * columns + c];
      out(r, c) = sum;
    }
  });
}

}  // namespace vitrine
