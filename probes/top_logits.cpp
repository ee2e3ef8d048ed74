#include "probes/top_logits.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace vitrine {

void largest_logits(std::span<const float> logits, std::span<std::int32_t> ids, std::span<float> values) {
  VITRINE_CHECK(ids.size() == values.size() && ids.size() <= logits.size());
  if (ids.empty()) return;
  using Entry = std::pair<float, std::int32_t>;  // value, minus the id: among equals the lower id is the larger entry
  std::vector<Entry> heap;                       // smallest on top
  const auto smaller_on_top = std::greater<Entry>();
  for (std::size_t i = 0; i < ids.size(); ++i) heap.emplace_back(logits[i], -static_cast<std::int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), smaller_on_top);
  float least = heap.front().first;
  for (std::size_t i = ids.size(); i < logits.size(); ++i) {
    if (!(logits[i] > least)) continue;  // an equal of a higher id stays out
    std::pop_heap(heap.begin(), heap.end(), smaller_on_top);
    heap.back() = {logits[i], -static_cast<std::int32_t>(i)};
    std::push_heap(heap.begin(), heap.end(), smaller_on_top);
    least = heap.front().first;
  }
  std::sort_heap(heap.begin(), heap.end(), smaller_on_top);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    values[i] = heap[i].first;
    ids[i] = -heap[i].second;
  }
}

}  // namespace vitrine
