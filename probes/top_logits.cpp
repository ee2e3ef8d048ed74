#include "probes/top_logits.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t block = 64;  // logits that are compared at once: nearly all are smaller than the least one kept

/// Whether any of `block` numbers is above the bound; a loop that the compiler makes vectors of.
bool any_above(const float* logits, float bound) {
  unsigned above = 0;
  for (std::size_t i = 0; i < block; ++i) above |= static_cast<unsigned>(logits[i] > bound);
  return above != 0;
}

}  // namespace

void largest_logits(std::span<const float> logits, std::span<std::int32_t> ids, std::span<float> values) {
  VITRINE_CHECK(ids.size() == values.size() && ids.size() <= logits.size());
  if (ids.empty()) return;
  using Entry = std::pair<float, std::int32_t>;  // value, minus the id: among equals the lower id is the larger entry
  std::vector<Entry> heap;                       // smallest on top
  const auto smaller_on_top = std::greater<Entry>();
  for (std::size_t i = 0; i < ids.size(); ++i) heap.emplace_back(logits[i], -static_cast<std::int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), smaller_on_top);
  float least = heap.front().first;
  const auto offer = [&](std::size_t i) {
    if (!(logits[i] > least)) return;  // an equal of a higher id stays out
    std::pop_heap(heap.begin(), heap.end(), smaller_on_top);
    heap.back() = {logits[i], -static_cast<std::int32_t>(i)};
    std::push_heap(heap.begin(), heap.end(), smaller_on_top);
    least = heap.front().first;
  };
  std::size_t begin = ids.size();
  for (; begin + block <= logits.size(); begin += block) {
    if (!any_above(logits.data() + begin, least)) continue;
    for (std::size_t i = begin; i < begin + block; ++i) offer(i);
  }
  for (; begin < logits.size(); ++begin) offer(begin);
  std::sort_heap(heap.begin(), heap.end(), smaller_on_top);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    values[i] = heap[i].first;
    ids[i] = -heap[i].second;
  }
}

}  // namespace vitrine
