#include "probes/pooled_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

std::vector<TokenId> random_text(std::size_t length) {
  std::mt19937 random(5);
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < length; ++i) ids.push_back(static_cast<TokenId>(random() % 60));
  return ids;
}

TEST(PooledMap, CellsArePowersOfTwo) {
  EXPECT_EQ(pooled_cell(0, 32), 1u);
  EXPECT_EQ(pooled_cell(32, 32), 1u);
  EXPECT_EQ(pooled_cell(33, 32), 2u);
  EXPECT_EQ(pooled_cell(8192, 256), 32u);
}

/// The definition: the largest weight of each square; NaN exactly where every pair is masked.
void expect_pooled(const PooledMap& map, const Recording::Head& head, double tolerance) {
  const std::size_t length = head.factors.q.extent(0);
  std::vector<float> whole(length * length);
  pattern_tile(head.factors, 0, 0, {whole.data(), {length, length}});
  ASSERT_EQ(map.rows, (length + map.cell - 1) / map.cell);
  ASSERT_EQ(map.columns, map.rows);
  for (std::size_t r = 0; r < map.rows; ++r) {
    for (std::size_t c = 0; c < map.columns; ++c) {
      double largest = 0.0;
      bool seen = false;
      for (std::size_t i = r * map.cell; i < std::min(length, (r + 1) * map.cell); ++i) {
        for (std::size_t j = c * map.cell; j < std::min(length, (c + 1) * map.cell); ++j) {
          largest = std::max(largest, static_cast<double>(whole[i * length + j]));
          seen |= head.factors.score.mask != Mask::causal || j <= i;
        }
      }
      const float found = map.largest[r * map.columns + c];
      ASSERT_EQ(std::isnan(found), !seen) << r << ", " << c << ", cell " << map.cell;
      if (!seen) continue;
      ASSERT_NEAR(found, largest, tolerance * largest + 1e-30) << r << ", " << c << ", cell " << map.cell;
    }
  }
}

TEST(PooledMap, IsTheLargestWeightOfEachSquare) {
  for (const char* family : {"llama", "bert"}) {
    TinyModel tiny(family);
    const ScratchFile file("pooled");
    RecorderOptions options = options_for(tiny, file.path, {"z"});
    options.longest_sequence = 37;
    record(tiny, std::vector<std::vector<TokenId>>{random_text(37)}, options)->finish();
    const auto recording = Recording::open(file.path);
    const Recording::Module& module = recording->modules().front();
    for (const std::size_t cell : {1u, 2u, 4u, 8u, 16u}) {
      expect_pooled(pooled_map(*recording->head(module, 1, 0), cell), *recording->head(module, 1, 0), 1e-5);
      EXPECT_FALSE(stored_pooled_map(*recording, module, 1, 0, cell));  // short texts have no pyramid
    }
  }
}

TEST(PooledMap, ComesFromThePyramidWhereThereIsOne) {
  TinyModel tiny("llama");
  tiny.model.spec.context = 0;
  const ScratchFile file("pooled_long");
  RecorderOptions options = options_for(tiny, file.path, {"z"});
  options.longest_sequence = 1100;
  options.pyramids = Pyramids::of_long_texts;
  record(tiny, std::vector<std::vector<TokenId>>{random_text(1100)}, options)->finish();
  const auto recording = Recording::open(file.path);
  const Recording::Module& module = recording->modules().back();
  EXPECT_FALSE(stored_pooled_map(*recording, module, 0, 0, 4));  // the file's squares are of 8
  for (const std::size_t cell : {8u, 32u, 64u}) {
    const auto map = stored_pooled_map(*recording, module, 0, 0, cell);
    ASSERT_TRUE(map);
    EXPECT_EQ(map->cell, cell);
    expect_pooled(*map, *recording->head(module, 0, 0), 0x1p-8);
  }
}

}  // namespace
}  // namespace vitrine
