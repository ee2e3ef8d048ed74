#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "core/base/error.h"
#include "kernels/pattern/pattern.h"
#include "tests/viewer/synthetic_recording.h"
#include "tests/viewer/workbench_fixture.h"
#include "viewer/data/tiles.h"
#include "viewer/draw/tile_painter.h"

namespace vitrine {
namespace {

/// Spikes at queries and keys drawn by lot, none of which stands in another's row or column.
SyntheticRecording::Spikes random_spikes(std::size_t tokens, std::size_t count) {
  std::mt19937 random(5);
  std::set<std::size_t> queries, keys;
  SyntheticRecording::Spikes spikes;
  while (spikes.size() < count) {
    const std::size_t query = tokens / 8 + random() % (tokens - tokens / 8), key = random() % query;
    if (queries.contains(query) || keys.contains(key)) continue;
    queries.insert(query);
    keys.insert(key);
    spikes.emplace_back(query, key);
  }
  return spikes;
}

/// Every level of a map's tiles is the whole map pooled.
TEST(Tiles, OfEveryLevelAreTheMapPooled) {
  constexpr std::size_t tokens = 700;
  const DocumentPointer document = synthetic_document(tokens, 1, 1, random_spikes(tokens, 20));
  const auto head = document->recording->head(document->recording->modules()[0], 0, 0);
  std::vector<float> whole(tokens * tokens);
  pattern_tile(head->factors, 0, 0, {whole.data(), {tokens, tokens}});
  for (unsigned level = 0; level <= whole_level(tokens, tokens); ++level) {
    const std::size_t cell = std::size_t{1} << level, side = tile_cells * cell;
    for (std::size_t row = 0; row * side < tokens; ++row) {
      for (std::size_t column = 0; column * side < tokens; ++column) {
        const Tile tile = make_tile({{document, 0, 0, 0}, level, row, column}, *head);
        ASSERT_EQ(tile.rows, (std::min(side, tokens - row * side) + cell - 1) / cell);
        for (std::size_t i = 0; i < tile.rows * tile.columns; ++i) {
          const std::size_t query = row * side + i / tile.columns * cell, key = column * side + i % tile.columns * cell;
          float largest = -1.0f;
          double sum = 0.0;
          for (std::size_t q = query; q < std::min(query + cell, tokens); ++q) {
            for (std::size_t k = key; k < std::min(key + cell, tokens); ++k) {
              if (k <= q) largest = std::max(largest, whole[q * tokens + k]);
              sum += static_cast<double>(whole[q * tokens + k]);
            }
          }
          const double area = static_cast<double>((std::min(query + cell, tokens) - query) * (std::min(key + cell, tokens) - key));
          ASSERT_EQ(std::isnan(tile.largest[i]), largest < 0.0f) << level << ": " << query << ", " << key;
          if (largest < 0.0f) continue;
          ASSERT_NEAR(tile.largest[i], largest, 2e-5f * largest);
          ASSERT_NEAR(tile.mean[i], sum / area, 2e-5 * sum / area + 1e-9);
        }
      }
    }
  }
}

TEST(Tiles, AreMadeInTheBackgroundAndForgotten) {
  int made = 0;
  std::mutex mutex;
  TileCache cache({.bytes = 3u << 20, .threads = 2, .ready = [&] { const std::lock_guard lock(mutex); ++made; }});
  const DocumentPointer document = synthetic_document(2000, 2, 3, {});
  const auto id = [&](std::size_t module, std::size_t head, std::size_t row) { return TileId{{document, module, head, 0}, 0, row, 0}; };
  cache.begin_frame();
  for (std::size_t row = 0; row < 8; ++row) EXPECT_EQ(cache.find(id(0, 0, row), Urgency::seen), nullptr);
  cache.settle();
  EXPECT_FALSE(cache.busy());
  EXPECT_EQ(made, 8);
  EXPECT_LE(cache.bytes(), 3u << 20);  // older ones went
  EXPECT_NE(cache.find(id(0, 0, 7), Urgency::seen), nullptr);
  cache.begin_frame();
  for (std::size_t head = 0; head < 3; ++head) cache.find(id(1, head, 0), Urgency::thumbnail);
  cache.begin_frame();  // nobody asks for them any more
  cache.settle();
  EXPECT_LE(made, 8 + 2);  // at most those that two threads had begun
  cache.forget(*document);
  EXPECT_EQ(cache.bytes(), 0u);
}

/// A recording whose maps cannot be read.
class FailingRecording : public SyntheticRecording {
 public:
  FailingRecording() : SyntheticRecording(100, 1, 1, {}) {}
  std::shared_ptr<const Head> head(const Module&, std::size_t, std::size_t) const override { throw Error({"/attention", "numbers", "a broken chunk", ""}); }
};

TEST(Tiles, ThatCannotBeMadeAreToldOnce) {
  TileCache cache;
  auto document = std::make_shared<Document>();
  document->recording = std::make_unique<FailingRecording>();
  const TileId id{{document, 0, 0, 0}, 0, 0, 0};
  cache.find(id, Urgency::seen);
  cache.settle();
  EXPECT_NE(cache.take_error().find("a broken chunk"), std::string::npos);
  EXPECT_EQ(cache.take_error(), "");
  ASSERT_TRUE(cache.find(id, Urgency::seen));
  EXPECT_EQ(cache.find(id, Urgency::seen)->rows, 0u);
}

TEST(Tiles, CellsAreNeverSmallerThanAPixel) {
  EXPECT_EQ(TilePainter::level_of(1.0, 9), 0u);
  EXPECT_EQ(TilePainter::level_of(0.99, 9), 1u);
  EXPECT_EQ(TilePainter::level_of(0.1, 9), 4u);
  EXPECT_EQ(TilePainter::level_of(0.1, 2), 2u);
  EXPECT_EQ(TilePainter::level_of(20.0, 9), 0u);
}

/// The map of a text of 4,096 tokens in some hundred pixels: each of 40 single cells is still seen as a bright pixel.
TEST_F(WorkbenchTest, EverySpikeIsSeenFromAfar) {
  constexpr std::size_t tokens = 4096;
  const auto spikes = random_spikes(tokens, 40);
  start({}, "attention", {1100, 800});
  ASSERT_TRUE(surface_);
  desk_->add(synthetic_document(tokens, 1, 1, spikes));
  settle();
  const auto map = item_named("attention/seen");
  ASSERT_TRUE(map);
  const std::vector<std::uint8_t> pixels = surface_->pixels();
  const auto bright = [&](int x, int y) {
    const std::uint8_t* at = pixels.data() + (static_cast<std::size_t>(y) * 1100 + static_cast<std::size_t>(x)) * 4;
    return at[0] > 180 && at[1] > 180 && at[2] < 120;  // viridis near 1
  };
  std::size_t seen = 0;
  const float scale = (map->to.x - map->from.x) / static_cast<float>(tokens);
  for (const auto& [query, key] : spikes) {
    const int x = static_cast<int>(map->from.x + (static_cast<float>(key) + 0.5f) * scale), y = static_cast<int>(map->from.y + (static_cast<float>(query) + 0.5f) * scale);
    bool any = false;
    for (int dy = -2; dy <= 2; ++dy) {
      for (int dx = -2; dx <= 2; ++dx) any |= bright(x + dx, y + dy);
    }
    seen += any ? 1 : 0;
  }
  EXPECT_EQ(seen, spikes.size());
  press(ImGuiKey_M);  // under the mean they drown
  settle();
}

/// 32,768 tokens: opens, shows a map, moves.
TEST_F(WorkbenchTest, LongTextsOpenAndMove) {
  start({}, "attention");
  ASSERT_TRUE(surface_);
  desk_->add(synthetic_document(32768, 2, 2, random_spikes(32768, 8)));
  settle();
  EXPECT_TRUE(item_named("attention/seen"));
  wheel("attention/map", 12.0f);
  const Json before = workbench_->view("attention")->state();
  const auto map = item_named("attention/map");
  drag(map->middle(), {map->middle().x - 90.0f, map->middle().y - 40.0f});
  EXPECT_NE(workbench_->view("attention")->state().dump(), before.dump());
  EXPECT_TRUE(item_named("attention/seen"));
}

}  // namespace
}  // namespace vitrine
