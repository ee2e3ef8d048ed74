#include "tests/viewer/workbench_fixture.h"

#include <cmath>

#include "kernels/pattern/map_cells.h"
#include "viewer/data/links.h"
#include "viewer/panel.h"

// The panel of arcs: the strongest links against whole maps, and what clicks choose.

namespace vitrine {
namespace {

class ArcsPanel : public WorkbenchTest {
 protected:
  static std::vector<float> map_of(const Recording& recording, std::size_t module, std::size_t head) {
    const std::size_t queries = recording.rows_of(0, recording.modules()[module].queries).count,
                      keys = recording.rows_of(0, recording.modules()[module].keys).count;
    std::vector<float> map(queries * keys);
    pattern_tile(recording.head(recording.modules()[module], head, 0)->factors, 0, 0, {map.data(), {queries, keys}});
    return map;
  }
  Json state() { return workbench_->view("arcs")->state(); }
};

TEST_F(ArcsPanel, LinksAreTheLargestOfEachRow) {
  const auto document = open_document(record_tiny());
  const std::size_t count = two_texts[0].size();
  HeadShelf shelf;
  vitrine::Run run;
  for (const bool without_first : {false, true}) {
    const auto links = strongest_links(
        {.map = {document, 1, 0, 0}, .all_heads = true, .first = 4, .rows = 6, .cell = 1, .most = 3, .without_first = without_first}, shelf, run);
    std::size_t at = 0;
    for (std::size_t head = 0; head < document->recording->modules()[1].heads; ++head) {
      const std::vector<float> map = map_of(*document->recording, 1, head);
      for (std::size_t query = 4; query < 10; ++query) {
        std::vector<float> row(map.begin() + static_cast<std::ptrdiff_t>(query * count + (without_first ? 1 : 0)),
                               map.begin() + static_cast<std::ptrdiff_t>((query + 1) * count));
        std::ranges::sort(row, std::greater<>());
        for (std::size_t i = 0; i < 3; ++i, ++at) {
          ASSERT_LT(at, links.size());
          EXPECT_EQ(links[at].query, query);
          EXPECT_EQ(links[at].head, head);
          EXPECT_EQ(links[at].weight, row[i]);
          EXPECT_EQ(links[at].weight, map[query * count + links[at].key]);
          EXPECT_FALSE(without_first && links[at].key == 0);
        }
      }
    }
    EXPECT_EQ(at, links.size());
  }
}

TEST_F(ArcsPanel, SquaresKeepTheLargestWeight) {
  const auto document = open_document(record_tiny());
  const std::size_t count = two_texts[0].size(), cell = 4;
  HeadShelf shelf;
  vitrine::Run run;
  const auto links = strongest_links({.map = {document, 0, 1, 0}, .first = 0, .rows = count, .cell = cell, .most = 1}, shelf, run);
  const std::vector<float> map = map_of(*document->recording, 0, 1);
  ASSERT_EQ(links.size(), (count + cell - 1) / cell);
  for (const Link& link : links) {
    float largest = 0.0f;
    for (std::size_t query = link.query; query < std::min(count, link.query + cell); ++query) {
      for (std::size_t key = 0; key < count; ++key) largest = std::max(largest, map[query * count + key]);
    }
    EXPECT_NEAR(link.weight, largest, 1e-5);
  }
}

TEST_F(ArcsPanel, OneTokenThroughLayers) {
  const auto document = open_document(record_tiny());
  const Recording& recording = *document->recording;
  const std::size_t count = two_texts[0].size(), query = 9;
  HeadShelf shelf;
  vitrine::Run run;
  const auto one = links_through_layers({.map = {document, 0, 2, 0}, .query = query, .most = 2}, shelf, run);
  const auto mean = links_through_layers({.map = {document, 0, 0, 0}, .mean = true, .query = query, .most = count}, shelf, run);
  ASSERT_EQ(one.size(), recording.modules().size());
  for (std::size_t m = 0; m < one.size(); ++m) {
    const std::vector<float> map = map_of(recording, m, 2);
    EXPECT_EQ(one[m].links.size(), 2u);
    EXPECT_EQ(one[m].links[0].weight, *std::max_element(map.begin() + query * count, map.begin() + (query + 1) * count));
    std::vector<double> sums(count, 0.0);
    for (std::size_t head = 0; head < recording.modules()[m].heads; ++head) {
      const std::vector<float> each = map_of(recording, m, head);
      for (std::size_t key = 0; key < count; ++key) sums[key] += each[query * count + key] / static_cast<double>(recording.modules()[m].heads);
    }
    for (const Link& link : mean[m].links) EXPECT_NEAR(link.weight, sums[link.key], 1e-6);
  }
}

TEST_F(ArcsPanel, ClicksOnLabelsChooseAQueryAndAKey) {
  start({record_tiny()}, "arcs");
  ASSERT_TRUE(surface_);
  click("arcs/query/6");
  EXPECT_EQ(desk_->selection.query, 6u);
  click("arcs/key/2");
  EXPECT_EQ(desk_->selection.key, 2u);
  EXPECT_EQ(desk_->selection.query, 6u);
  click("arcs/all");
  EXPECT_TRUE(state()["all"].boolean());
  click("arcs/head/3");  // alone again
  EXPECT_EQ(desk_->selection.head, 3u);
  EXPECT_FALSE(state()["all"].boolean());
  press(ImGuiKey_Period);
  EXPECT_EQ(state()["most"].integer(), 4);
  const Figure figure = workbench_->view("arcs")->figure(*desk_);
  ASSERT_EQ(figure.tables.size(), 1u);
  EXPECT_EQ(figure.tables[0].rows.size(), 4u);
}

TEST_F(ArcsPanel, ADotOfALayerChoosesIt) {
  start({record_tiny()}, "arcs");
  ASSERT_TRUE(surface_);
  desk_->selection.query = 8;
  settle();
  click("arcs/through_layers");
  HeadShelf shelf;
  vitrine::Run run;
  const auto layers = links_through_layers({.map = {desk_->shown(DocumentKind::recording), 0, 0, 0}, .query = 8, .most = 3}, shelf, run);
  click("arcs/dot/1." + std::to_string(layers[1].links[1].key));
  EXPECT_EQ(desk_->selection.layer, 1u);
  EXPECT_EQ(desk_->selection.key, layers[1].links[1].key);
  EXPECT_EQ(workbench_->view("arcs")->figure(*desk_).grids.front().rows, layers.size());
  EXPECT_TRUE(desk_->messages().empty());
}

TEST_F(ArcsPanel, TheWheelScrollsAndZoomsAndFShowsAll) {
  start({record_tiny()}, "arcs", {1200, 260});
  ASSERT_TRUE(surface_);
  EXPECT_EQ(state()["top"].number(), 0.0);
  wheel("arcs/columns", -2.0f);
  EXPECT_GT(state()["top"].number(), 0.0);
  const double pixels = state()["pixels"].number();
  ImGui::GetIO().AddKeyEvent(ImGuiMod_Ctrl, true);
  wheel("arcs/columns", 2.0f);
  ImGui::GetIO().AddKeyEvent(ImGuiMod_Ctrl, false);
  frame();
  EXPECT_GT(state()["pixels"].number(), pixels);
  click("arcs/fit");
  EXPECT_EQ(state()["top"].number(), 0.0);
}

}  // namespace
}  // namespace vitrine
