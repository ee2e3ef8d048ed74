#include "viewer/data/links.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "probes/pooled_map.h"

namespace vitrine {
namespace {

/// Largest first among [keys] weights of a row; keys are counted in squares.
void add_strongest(std::span<const float> weights, const LinkOrder& order, Link link, std::vector<Link>& links) {
  std::vector<std::uint32_t> places;
  for (std::uint32_t key = order.without_first ? 1 : 0; key < weights.size(); ++key) {
    if (weights[key] > 0.0f) places.push_back(key);
  }
  const std::size_t kept = std::min(order.most, places.size());
  std::ranges::partial_sort(places, places.begin() + static_cast<std::ptrdiff_t>(kept),
                            [&](std::uint32_t a, std::uint32_t b) { return weights[a] > weights[b] || (weights[a] == weights[b] && a < b); });
  for (std::size_t i = 0; i < kept; ++i) {
    link.key = places[i] * static_cast<std::uint32_t>(order.cell);
    link.weight = weights[places[i]];
    links.push_back(link);
  }
}

/// Of squares that the file holds. Returns whether it does.
bool from_pyramid(const LinkOrder& order, const MapId& map, std::vector<Link>& links) {
  const Recording& recording = *map.document->recording;
  const std::optional<PooledMap> stored = stored_pooled_map(recording, recording.modules()[map.module], map.head, map.sequence, order.cell);
  if (!stored) return false;
  for (std::size_t row = order.first / order.cell; row < std::min(stored->rows, (order.first + order.rows + order.cell - 1) / order.cell); ++row) {
    add_strongest(std::span(stored->largest).subspan(row * stored->columns, stored->columns), order,
                  {.query = static_cast<std::uint32_t>(row * order.cell), .head = static_cast<std::uint32_t>(map.head)}, links);
  }
  return true;
}

/// Some rows of squares at a time, so that the work can be stopped.
void from_factors(const LinkOrder& order, const MapId& map, HeadShelf& shelf, Run& run, std::vector<Link>& links) {
  constexpr std::size_t band_cells = 1u << 20;
  const auto head = shelf.take(map);
  const std::size_t queries = head->factors.q.extent(0), keys = head->factors.k.extent(0), columns = (keys + order.cell - 1) / order.cell;
  const std::size_t end = std::min(queries, order.first + order.rows),
                    band = std::max<std::size_t>(1, band_cells / (columns * order.cell)) * order.cell;
  for (std::size_t row = order.first; row < end; row += band) {
    run.step("links", row, end);
    const std::size_t rows = std::min(band, end - row), cells = (rows + order.cell - 1) / order.cell;
    std::vector<float> largest(cells * columns), sums(order.cell == 1 ? 0 : largest.size());
    if (order.cell == 1) pattern_tile(head->factors, row, 0, {largest.data(), {cells, columns}});
    else map_cells(head->factors, {row, rows, 0, keys}, {order.cell, {largest.data(), {cells, columns}}, {sums.data(), {cells, columns}}});
    for (std::size_t r = 0; r < cells; ++r) {
      add_strongest(std::span(largest).subspan(r * columns, columns), order,
                    {.query = static_cast<std::uint32_t>(row + r * order.cell), .head = static_cast<std::uint32_t>(map.head)}, links);
    }
  }
}

/// The row of one head, or the mean of all heads' rows.
std::vector<float> layer_row(const LayerOrder& order, std::size_t module, HeadShelf& shelf, Run& run) {
  const std::size_t heads = order.map.document->recording->modules()[module].heads;
  MapId map = order.map;
  map.module = module;
  if (!order.mean) return map.head < heads ? row_weights(*shelf.take(map), order.query) : std::vector<float>();
  std::vector<float> sum;
  for (map.head = 0; map.head < heads; ++map.head) {
    run.step("heads", map.head, heads);
    // Not from the shelf: every head of a model would push out those that are looked at.
    const auto head = order.map.document->recording->head(order.map.document->recording->modules()[module], map.head, map.sequence);
    const std::vector<float> row = row_weights(*head, order.query);
    sum.resize(row.size());
    for (std::size_t key = 0; key < row.size(); ++key) sum[key] += row[key] / static_cast<float>(heads);
  }
  return sum;
}

}  // namespace

std::vector<Link> strongest_links(const LinkOrder& order, HeadShelf& shelf, Run& run) {
  std::vector<Link> links;
  const std::size_t heads = order.map.document->recording->modules()[order.map.module].heads;
  for (std::size_t head = order.all_heads ? 0 : order.map.head; head < (order.all_heads ? heads : order.map.head + 1); ++head) {
    MapId map = order.map;
    map.head = head;
    if (order.cell == 1 || !from_pyramid(order, map, links)) from_factors(order, map, shelf, run, links);
  }
  return links;
}

std::vector<LayerLinks> links_through_layers(const LayerOrder& order, HeadShelf& shelf, Run& run) {
  const auto modules = order.map.document->recording->modules();
  const Recording::Module& chosen = modules[order.map.module];
  std::vector<LayerLinks> layers;
  for (std::size_t m = 0; m < modules.size(); ++m) {
    if (modules[m].queries != chosen.queries || modules[m].keys != chosen.keys) continue;
    run.step("layers", m, modules.size());
    LayerLinks& layer = layers.emplace_back(LayerLinks{m, {}});
    const LinkOrder row{.map = order.map, .first = order.query, .rows = 1, .cell = 1, .most = order.most, .without_first = order.without_first};
    add_strongest(layer_row(order, m, shelf, run), row,
                  {.query = static_cast<std::uint32_t>(order.query), .head = static_cast<std::uint32_t>(order.map.head)}, layer.links);
  }
  return layers;
}

}  // namespace vitrine
