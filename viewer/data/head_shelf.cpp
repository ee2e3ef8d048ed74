#include "viewer/data/head_shelf.h"

#include <algorithm>
#include <limits>

#include "kernels/pattern/pattern.h"

namespace vitrine {
namespace {

std::size_t bytes_of(const Recording::Head& head) {
  return (head.q.size() + head.k.size() + head.normalizer.size() + head.bias.size() + head.positions.size() + head.key_bias.size()) * sizeof(float) +
         head.allowed.size() * sizeof(std::uint64_t);
}

}  // namespace

bool sees(const Recording::Head& head, std::size_t query, std::size_t key) {
  const PatternFactors& factors = head.factors;
  return RowMask(factors.score, factors.rule, factors.q_start, query, factors.k.extent(0)).sees(key);
}

std::shared_ptr<const Recording::Head> HeadShelf::take(const MapId& map) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(heads_, map, [](const auto& each) { return each.first; });
    if (found != heads_.end()) {
      heads_.splice(heads_.begin(), heads_, found);
      return found->second;
    }
  }
  const Recording& recording = *map.document->recording;
  const auto head = recording.head(recording.modules()[map.module], map.head, map.sequence);
  const std::lock_guard lock(mutex_);
  heads_.emplace_front(map, head);
  bytes_ += bytes_of(*head);
  while (bytes_ > most_bytes_ && heads_.size() > 1) {
    bytes_ -= bytes_of(*heads_.back().second);
    heads_.pop_back();
  }
  return head;
}

std::size_t HeadShelf::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void HeadShelf::forget(const Document& document) {
  const std::lock_guard lock(mutex_);
  std::erase_if(heads_, [&](const auto& each) {
    if (each.first.document.get() != &document) return false;
    bytes_ -= bytes_of(*each.second);
    return true;
  });
}

std::vector<float> row_weights(const Recording::Head& head, std::size_t query) {
  const PatternFactors& factors = head.factors;
  std::vector<float> row(factors.k.extent(0));
  pattern_tile(factors, query, 0, {row.data(), {1, row.size()}});
  const RowMask mask(factors.score, factors.rule, factors.q_start, query, row.size());
  for (std::size_t key = 0; key < row.size(); ++key) {
    if (!mask.sees(key)) row[key] = std::numeric_limits<float>::quiet_NaN();
  }
  return row;
}

std::vector<float> column_weights(const Recording::Head& head, std::size_t key) {
  const PatternFactors& factors = head.factors;
  std::vector<float> column(factors.q.extent(0));
  pattern_tile(factors, 0, key, {column.data(), {column.size(), 1}});
  for (std::size_t query = 0; query < column.size(); ++query) {
    if (!sees(head, query, key)) column[query] = std::numeric_limits<float>::quiet_NaN();
  }
  return column;
}

}  // namespace vitrine
