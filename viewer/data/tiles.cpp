#include "viewer/data/tiles.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <list>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "probes/pooled_map.h"
#include "viewer/data/head_shelf.h"

namespace vitrine {
namespace {

/// Where a tile lies in its map.
MapPart part_of(const TileId& id, std::size_t queries, std::size_t keys) {
  const std::size_t side = tile_cells << id.level, row = id.row * side, key = id.column * side;
  VITRINE_CHECK(row < queries && key < keys);
  return {row, std::min(side, queries - row), key, std::min(side, keys - key)};
}

/// Of the file's pyramid, where it has the level; none else.
std::optional<Tile> stored_tile(const TileId& id) {
  const Recording& recording = *id.map.document->recording;
  const std::optional<PooledMap> map = stored_pooled_map(recording, recording.modules()[id.map.module], id.map.head, id.map.sequence, std::size_t{1} << id.level);
  if (!map) return std::nullopt;
  const std::size_t row = id.row * tile_cells, column = id.column * tile_cells;
  if (row >= map->rows || column >= map->columns) return std::nullopt;
  Tile tile{std::min(tile_cells, map->rows - row), std::min(tile_cells, map->columns - column), {}, {}};
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const auto from = static_cast<std::ptrdiff_t>((row + r) * map->columns + column), to = from + static_cast<std::ptrdiff_t>(tile.columns);
    tile.largest.insert(tile.largest.end(), map->largest.begin() + from, map->largest.begin() + to);
    tile.mean.insert(tile.mean.end(), map->mean.begin() + from, map->mean.begin() + to);
  }
  return tile;
}

/// The cores are for drawing first; a thread that keeps its priority works as well.
void yield_to_drawing() { setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10); }

}  // namespace

Tile make_tile(const TileId& id, const Recording::Head& head) {
  PooledMap map = pooled_map(head, part_of(id, head.factors.q.extent(0), head.factors.k.extent(0)), std::size_t{1} << id.level);
  return {map.rows, map.columns, std::move(map.largest), std::move(map.mean)};
}

struct TileCache::State {
  explicit State(Options given) : options(std::move(given)), heads(options.bytes / 4) {}

  struct Kept {
    std::shared_ptr<const Tile> tile;
    std::list<TileId>::iterator use;
  };
  Options options;
  mutable std::mutex mutex;
  std::condition_variable work, idle;
  std::array<std::deque<TileId>, 3> wanted;  // by urgency
  std::set<TileId> wanted_set, making;
  std::map<TileId, Kept> tiles;
  std::list<TileId> uses;  // newest first
  std::size_t tile_bytes = 0;
  HeadShelf heads;
  std::string error;
  bool stop = false;
  std::vector<std::thread> threads;

  bool nothing_wanted() const { return wanted_set.empty() && making.empty(); }
  std::optional<TileId> next();
  void keep(const TileId& id, Tile tile);
  void shrink();
  void run();
  void make(const TileId& id);
};

std::optional<TileId> TileCache::State::next() {
  for (auto& queue : wanted) {
    if (queue.empty()) continue;
    TileId id = queue.front();
    queue.pop_front();
    wanted_set.erase(id);
    return id;
  }
  return std::nullopt;
}

void TileCache::State::shrink() {
  while (tile_bytes + heads.bytes() > options.bytes && uses.size() > 1) {
    const auto oldest = tiles.find(uses.back());
    tile_bytes -= oldest->second.tile->bytes();
    tiles.erase(oldest);
    uses.pop_back();
  }
}

void TileCache::State::keep(const TileId& id, Tile tile) {
  const std::lock_guard lock(mutex);
  uses.push_front(id);
  tile_bytes += tile.bytes();
  tiles[id] = {std::make_shared<const Tile>(std::move(tile)), uses.begin()};
  shrink();
}

void TileCache::State::make(const TileId& id) {
  try {
    std::optional<Tile> stored = stored_tile(id);
    keep(id, stored ? std::move(*stored) : make_tile(id, *heads.take(id.map)));
  } catch (const std::exception& caught) {
    const std::lock_guard lock(mutex);
    error = caught.what();
    // An empty tile stands for what cannot be made, so that it is not tried in every frame.
    uses.push_front(id);
    tiles[id] = {std::make_shared<const Tile>(), uses.begin()};
  }
  options.ready();
  {
    const std::lock_guard lock(mutex);
    making.erase(id);  // the last: who waits until nothing is made has been told of everything
  }
  idle.notify_all();
}

void TileCache::State::run() {
  yield_to_drawing();
  for (;;) {
    std::optional<TileId> id;
    {
      std::unique_lock lock(mutex);
      work.wait(lock, [&] { return stop || !wanted_set.empty(); });
      if (stop) return;
      id = next();
      if (id) making.insert(*id);
    }
    if (id) make(*id);
  }
}

TileCache::TileCache() : TileCache(Options{}) {}

TileCache::TileCache(Options options) : state_(std::make_unique<State>(std::move(options))) {
  for (std::size_t i = 0; i < std::max<std::size_t>(state_->options.threads, 1); ++i) state_->threads.emplace_back([this] { state_->run(); });
}

TileCache::~TileCache() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->work.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

void TileCache::begin_frame() {
  const std::lock_guard lock(state_->mutex);
  for (auto& queue : state_->wanted) queue.clear();
  state_->wanted_set.clear();
  state_->idle.notify_all();
}

std::shared_ptr<const Tile> TileCache::find(const TileId& id, Urgency urgency) {
  const std::lock_guard lock(state_->mutex);
  if (const auto found = state_->tiles.find(id); found != state_->tiles.end()) {
    state_->uses.splice(state_->uses.begin(), state_->uses, found->second.use);
    return found->second.tile;
  }
  if (state_->making.contains(id) || !state_->wanted_set.insert(id).second) return nullptr;
  state_->wanted[static_cast<std::size_t>(urgency)].push_back(id);
  state_->work.notify_one();
  return nullptr;
}

bool TileCache::busy() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->nothing_wanted();
}

void TileCache::settle() {
  std::unique_lock lock(state_->mutex);
  state_->idle.wait(lock, [&] { return state_->nothing_wanted(); });
}

std::size_t TileCache::bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->tile_bytes + state_->heads.bytes();
}

std::string TileCache::take_error() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->error, {});
}

void TileCache::forget(const Document& document) {
  const std::lock_guard lock(state_->mutex);
  State& state = *state_;
  state.heads.forget(document);
  std::erase_if(state.tiles, [&](const auto& each) {
    if (each.first.map.document.get() != &document) return false;
    state.tile_bytes -= each.second.tile->bytes();
    state.uses.erase(each.second.use);
    return true;
  });
}

}  // namespace vitrine
