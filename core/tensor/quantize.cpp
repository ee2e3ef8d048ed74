#include "core/tensor/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

void require_finite(const Tensor& numbers, const Rounding& rounding) {
  const auto bad = std::ranges::find_if(numbers.floats(), [](float x) { return !std::isfinite(x); });
  if (bad == numbers.floats().end()) return;
  throw Error({std::string(rounding.name), "finite numbers, to round them to " + std::string(dtype_info(rounding.type).name),
               std::to_string(*bad) + " at place " + std::to_string(bad - numbers.floats().begin()), ""});
}

}  // namespace

Tensor round_to(const Tensor& numbers, const Rounding& rounding, ThreadPool& pool, Run& run) {
  const DTypeInfo& info = dtype_info(rounding.type);
  const std::size_t cols = numbers.shape().back(), rows = cols > 0 ? numbers.size() / cols : 0;
  if (info.compress == nullptr) throw Error({std::string(rounding.name), "a type that numbers are rounded to", std::string(info.name), ""}, Fault::usage);
  if (cols % info.block_size != 0) {
    throw Error({std::string(rounding.name), "rows of whole blocks of " + std::to_string(info.block_size) + " for " + std::string(info.name),
                 std::to_string(cols) + " numbers a row", "choose a type of smaller blocks"}, Fault::usage);
  }
  require_finite(numbers, rounding);
  Tensor result(rounding.type, numbers.shape());
  const std::size_t stride = row_bytes(rounding.type, cols);
  const std::span<const float> importance = info.compress_weighted ? rounding.importance : std::span<const float>();
  constexpr std::size_t numbers_apiece = 1 << 14;
  const std::size_t step = std::max<std::size_t>(1, numbers_apiece / std::max<std::size_t>(cols, 1)), turn = step * pool.threads() * 16;
  std::atomic<bool> fits{true};
  for (std::size_t first = 0; first < rows; first += turn) {  // between turns a user may stop it
    const std::size_t end = std::min(rows, first + turn);
    pool.run((end - first + step - 1) / step, [&](std::size_t piece, std::size_t) {
      std::vector<float> back(cols);
      for (std::size_t row = first + piece * step; row < std::min(end, first + (piece + 1) * step); ++row) {
        const float* source = numbers.floats().data() + row * cols;
        std::byte* target = result.bytes().data() + row * stride;
        importance.empty() ? info.compress(source, target, cols) : info.compress_weighted(source, importance.data(), target, cols);
        info.expand(target, back.data(), cols);
        if (!std::ranges::all_of(back, [](float x) { return std::isfinite(x); })) fits = false;
      }
    });
    if (run.cancelled()) throw Cancelled();
  }
  if (!fits) throw Error({std::string(rounding.name), "numbers within the reach of " + std::string(info.name), "larger ones", "choose BF16 or F32 for this tensor"});
  return result;
}

}  // namespace vitrine
