#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "viewer/data/tiles.h"

namespace vitrine {

/// The factors of the heads that were read last, for background threads that make maps, or single rows of them.
class HeadShelf {
 public:
  explicit HeadShelf(std::size_t bytes = 160u << 20) : most_bytes_(bytes) {}
  /// Any thread. @throws Error where the recording cannot be read
  std::shared_ptr<const Recording::Head> take(const MapId& map);
  std::size_t bytes() const;
  /// Drops everything of a document that was closed.
  void forget(const Document& document);

 private:
  mutable std::mutex mutex_;
  std::list<std::pair<MapId, std::shared_ptr<const Recording::Head>>> heads_;  // newest first
  std::size_t bytes_ = 0, most_bytes_;
};

/// Whether the query sees the key at all.
bool sees(const Recording::Head& head, std::size_t query, std::size_t key);
/// What a query gives to each key, [keys]; NaN where it sees none.
std::vector<float> row_weights(const Recording::Head& head, std::size_t query);
/// What each query gives to a key, [queries]; NaN where it does not see it.
std::vector<float> column_weights(const Recording::Head& head, std::size_t key);

}  // namespace vitrine
