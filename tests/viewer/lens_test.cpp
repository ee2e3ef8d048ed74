#include "tests/viewer/workbench_fixture.h"

#include <cmath>

#include "probes/analysis.h"
#include "viewer/data/results.h"
#include "viewer/panel.h"

// The panel of analyses: what a lens and any other analysis wrote, read back and chosen by hand.

namespace vitrine {
namespace {

AnalysisResult small_lens() {
  AnalysisResult result;
  const std::vector<std::string> layers{"embed", "0", "1"}, positions{"0 'a'", "1 ' b'"};
  result.tables = {{"each layer read as the last, means over 2 rows",
                    {"layer", "KL to final, nats", "signed"},
                    {{"embed", 3.5, -1.0}, {"0", 7.0, 0.5}, {"1", 0.0, Json()}}},
                   {"likeliest token after each layer, by position",
                    {"layer", "0 'a'", "1 ' b'"},
                    {{"embed", "'x'", "'y'"}, {"0", "'b'", "'y'"}, {"1", "'b'", "'z'"}, {"settles at", "0", "1"}}}};
  result.grids = {{"KL to the final layer, text 0", "layer", "position", "nats", layers, positions, {4, 3, 9, 5, 0, 0}},
                  {"probability of the likeliest token", "layer", "position", "probability", layers, positions, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}},
                  {"heads", "layer", "head", "logits", {"0", "1"}, {"0", "1", "2"}, {-1, 2, 0, 1, NAN, 0.5}}};
  result.notes = {"A lens asks."};
  return result;
}

class LensPanel : public WorkbenchTest {
 protected:
  std::filesystem::path write_lens() { return write("lens.json", to_json(small_lens()).dump()); }
  std::string part() { return workbench_->view("lens")->state()["part"].string(); }
};

TEST_F(LensPanel, TablesAndGridsComeBackAsTheyWere) {
  const AnalysisResult result = small_lens();
  const Json json = parse_json(to_json(result).dump(), "lens");
  const auto grids = grids_of(json);
  ASSERT_EQ(grids.size(), 3u);
  EXPECT_EQ(grids[0].values, result.grids[0].values);
  EXPECT_EQ(grids[0].column_labels, result.grids[0].column_labels);
  EXPECT_EQ(grids[0].low, 0.0);
  EXPECT_EQ(grids[0].high, 9.0);
  EXPECT_EQ(grids[2].colors, ColorMap::diverging);  // numbers on both sides of 0
  EXPECT_EQ(grids[2].low, -2.0);
  EXPECT_TRUE(std::isnan(grids[2].values[4]));
  const auto tables = tables_of(json);
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(tables[0].header, result.tables[0].header);
  EXPECT_EQ(tables[0].rows[1][1].number(), 7.0);
  EXPECT_TRUE(tables[0].rows[2][2].is_null());
}

TEST_F(LensPanel, WhatDoesNotFitIsLeftOut) {
  const auto grids = grids_of(parse_json(R"({"grids": [{"values": [[1, 2], [3]]}, {"values": 3}, 7, {"values": [[1, "x"]], "rows": ["r"]}]})", "x"));
  ASSERT_EQ(grids.size(), 1u);
  EXPECT_TRUE(std::isnan(grids[0].values[1]));
  EXPECT_EQ(grids[0].column_labels.size(), 2u);
  EXPECT_EQ(tables_of(parse_json(R"({"tables": [{"rows": [1, {"a": 1}, {"b": 2}]}, 5]})", "x")).front().rows.size(), 2u);
  start({write("broken.json", R"({"grids": [{"values": [[1, 2], [3]]}], "tables": [{"title": 3, "rows": []}]})")}, "lens");
  ASSERT_TRUE(surface_);
  EXPECT_TRUE(desk_->messages().empty());
}

TEST_F(LensPanel, TokensAreColouredByAGridAndAClickChoosesThePosition) {
  start({record_tiny(), write_lens()}, "lens");
  ASSERT_TRUE(surface_);
  EXPECT_EQ(part(), "likeliest token after each layer, by position");
  EXPECT_EQ(workbench_->view("lens")->state()["colors"].string(), "probability of the likeliest token");
  const Figure figure = workbench_->view("lens")->figure(*desk_);
  ASSERT_EQ(figure.grids.size(), 1u);
  EXPECT_EQ(figure.grids[0].values[3], 0.4);
  EXPECT_TRUE(std::isnan(figure.grids[0].values[6]));  // "settles at" has no probability
  click("lens/grid/2.1");
  EXPECT_EQ(desk_->selection.query, 1u);
  EXPECT_EQ(desk_->selection.layer, 1u);
  click("lens/colors");
  click("lens/colors/0");
  EXPECT_EQ(workbench_->view("lens")->figure(*desk_).grids[0].values[3], 5.0);
}

TEST_F(LensPanel, EveryPartCanBeLookedAt) {
  start({record_tiny(), write_lens()}, "lens");
  ASSERT_TRUE(surface_);
  const std::string first = part();
  std::size_t parts = 0;
  do {
    EXPECT_FALSE(workbench_->view("lens")->figure(*desk_).empty()) << part();
    press(ImGuiKey_J);
  } while (part() != first && ++parts < 20);
  EXPECT_EQ(parts, 5u);  // tokens, three grids, two tables
  click("lens/part");
  click("lens/part/3");
  EXPECT_EQ(part(), "heads");
  click("lens/grid/1.2");
  EXPECT_EQ(desk_->selection.head, 2u);
  EXPECT_EQ(desk_->selection.layer, 1u);
  EXPECT_TRUE(desk_->messages().empty());
}

TEST_F(LensPanel, AClickOnAColumnSortsTheTable) {
  start({write_lens()}, "lens");
  ASSERT_TRUE(surface_);
  workbench_->view("lens")->restore(Json::object().set("part", "table: each layer read as the last, means over 2 rows"));
  settle();
  const auto top = [&] { return workbench_->view("lens")->figure(*desk_).tables.front().rows.front().front(); };
  EXPECT_EQ(top(), "embed");
  click("lens/table/column/1");
  EXPECT_EQ(top(), "0");  // the largest first
  click("lens/table/column/1");
  EXPECT_EQ(top(), "1");
}

TEST_F(LensPanel, NormsOfARecordingNeedNoAnalysis) {
  TinyModel tiny("llama");
  Keeper keeper;
  const auto path = folder_ / "residual.h5";
  record(tiny, two_texts, options_for(tiny, path), &keeper)->finish();
  start({path}, "lens");
  ASSERT_TRUE(surface_);
  const Figure figure = workbench_->view("lens")->figure(*desk_);
  ASSERT_EQ(figure.grids.size(), 1u);
  const FigureGrid& grid = figure.grids.front();
  EXPECT_EQ(grid.rows, tiny.model.spec.blocks.size());
  ASSERT_EQ(grid.columns, two_texts[0].size());
  const std::vector<float>& seen = keeper.seen.at("blocks.1.hook_resid_pre");
  const std::size_t width = tiny.model.spec.width;
  double squares = 0.0;
  for (std::size_t d = 0; d < width; ++d) squares += std::pow(seen[3 * width + d], 2.0);
  EXPECT_NEAR(grid.values[grid.columns + 3], std::sqrt(squares), 1e-4 * std::sqrt(squares));
}

}  // namespace
}  // namespace vitrine
