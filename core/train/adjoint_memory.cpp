#include "core/train/adjoint_memory.h"

#include <algorithm>

namespace vitrine {

Numbers copy_of(TensorView<const float, 2> x) {
  Numbers copy{x.extent(0), x.extent(1), std::vector<float>(x.size())};
  for (std::size_t r = 0; r < copy.rows; ++r) std::copy_n(x.data() + r * x.stride(0), copy.cols, copy.data.data() + r * copy.cols);
  return copy;
}

template <class Find, class Visit>
void AdjointMemory::each_piece(const float* row, std::size_t cols, const Find& find, const Visit& visit) {
  auto address = reinterpret_cast<std::uintptr_t>(row) / sizeof(float);
  for (std::size_t done = 0; done < cols;) {
    const std::size_t first = address % page_numbers, count = std::min(page_numbers - first, cols - done);
    visit(find(address / page_numbers), first, count, done);
    done += count;
    address += count;
  }
}

const AdjointMemory::Page* AdjointMemory::page_or_null(std::uintptr_t index) const {
  const auto found = pages_.find(index);
  return found == pages_.end() ? nullptr : &found->second;
}

AdjointMemory::Page& AdjointMemory::page(std::uintptr_t index) {
  Page& page = pages_[index];
  if (page.empty()) page.assign(page_numbers, 0.0f);
  return page;
}

void AdjointMemory::add(TensorView<const float, 2> at, TensorView<const float, 2> flow) {
  const auto find = [&](std::uintptr_t index) { return &page(index); };
  for (std::size_t r = 0; r < at.extent(0); ++r) {
    const float* numbers = flow.data() + r * flow.stride(0);
    each_piece(at.data() + r * at.stride(0), at.extent(1), find, [&](Page* target, std::size_t first, std::size_t count, std::size_t done) {
      for (std::size_t i = 0; i < count; ++i) (*target)[first + i] += numbers[done + i];
    });
  }
}

Numbers AdjointMemory::look(TensorView<const float, 2> at) const {
  Numbers flow{at.extent(0), at.extent(1), {}};
  const auto find = [&](std::uintptr_t index) { return page_or_null(index); };
  for (std::size_t r = 0; r < flow.rows; ++r) {
    each_piece(at.data() + r * at.stride(0), flow.cols, find, [&](const Page* source, std::size_t first, std::size_t count, std::size_t done) {
      if (!source || std::all_of(source->begin() + static_cast<std::ptrdiff_t>(first), source->begin() + static_cast<std::ptrdiff_t>(first + count),
                                 [](float number) { return number == 0.0f; })) return;
      flow.data.resize(flow.rows * flow.cols);
      std::copy_n(source->data() + first, count, flow.data.data() + r * flow.cols + done);
    });
  }
  return flow;
}

void AdjointMemory::clear(TensorView<const float, 2> at) {
  const auto find = [&](std::uintptr_t index) -> Page* {
    const auto found = pages_.find(index);
    return found == pages_.end() ? nullptr : &found->second;
  };
  for (std::size_t r = 0; r < at.extent(0); ++r) {
    each_piece(at.data() + r * at.stride(0), at.extent(1), find, [](Page* target, std::size_t first, std::size_t count, std::size_t) {
      if (target) std::fill_n(target->begin() + static_cast<std::ptrdiff_t>(first), count, 0.0f);
    });
  }
}

Numbers AdjointMemory::take(TensorView<const float, 2> at) {
  Numbers flow = look(at);
  if (!flow.data.empty()) clear(at);
  return flow;
}

}  // namespace vitrine
