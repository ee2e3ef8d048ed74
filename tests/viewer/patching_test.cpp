#include "tests/viewer/workbench_fixture.h"

#include <cmath>

#include "viewer/data/sweep_result.h"
#include "viewer/panel.h"

// The panel of patching: a sweep read back, cells chosen by hand, and the commands that repeat them.

namespace vitrine {
namespace {

Json direction_json(bool into_corrupt, bool intervals) {
  const auto matrix = [](std::initializer_list<std::initializer_list<double>> rows) {
    Json json = Json::array();
    for (const auto& row : rows) {
      Json cells = Json::array();
      for (const double cell : row) cells.push(cell);
      json.push(cells);
    }
    return json;
  };
  Json json;
  json.set("effect", into_corrupt ? matrix({{0, 0.25, 0.5}, {1, -0.25, 0}}) : matrix({{1, 0.75, 0.5}, {0, 1.25, 1}}));
  json.set("raw", into_corrupt ? matrix({{0, 2, 4}, {8, -2, 0}}) : matrix({{0, -2, -4}, {-8, 2, 0}}));
  if (intervals)
    json.set("low", matrix({{-0.1, 0.1, 0.3}, {0.8, NAN, -0.1}}))
        .set("high", matrix({{0.1, 0.4, 0.7}, {1.2, NAN, 0.1}}))
        .set("level", 0.95)
        .set("method", "Fieller");
  json.set("clean", 5.0)
      .set("corrupt", -3.0)
      .set("direction", into_corrupt ? "clean into corrupt" : "corrupt into clean")
      .set("meaning", "what it means");
  return json.set("column_axis", "head and position").set("columns", Json::array().push("H0 0 The").push("H0 1  end").push("H1 0 The"));
}

Json sweep_json(bool intervals) {
  Json json = direction_json(true, intervals);
  json.set("reverse", direction_json(false, intervals))
      .set("sweep", "z")
      .set("method", "patching")
      .set("pairs", intervals ? 9 : 1)
      .set("notes", Json::array().push("a note"));
  json.set("question", Json::object()
                           .set("model", "a model.gguf")
                           .set("clean", "The end")
                           .set("corrupt", "It's end")
                           .set("answer", " x")
                           .set("wrong", " y")
                           .set("bos", "auto")
                           .set("tokens", 2));
  return json;
}

class PatchingPanel : public WorkbenchTest {
 protected:
  Json state() { return workbench_->view("patching")->state(); }
};

TEST_F(PatchingPanel, ASweepComesBackWithItsRuns) {
  const SweepResult sweep = read_sweep(parse_json(sweep_json(true).dump(), "x"), "x");
  ASSERT_EQ(sweep.directions.size(), 2u);
  EXPECT_EQ(sweep.pairs, 9u);
  const SweepDirection &first = sweep.directions[0], &second = sweep.directions[1];
  EXPECT_EQ(first.effect.values[1], 0.25);
  EXPECT_EQ(first.patched(3), 5.0);                      // -3 + 8: the clean answer is back
  EXPECT_EQ(second.patched(3), -3.0);                    // 5 - 8: it is gone
  for (const SweepDirection& each : sweep.directions) {  // an effect is where the patched run stands between the two
    for (std::size_t cell = 0; cell < each.effect.values.size(); ++cell)
      EXPECT_NEAR(each.effect.values[cell], (each.patched(cell) - each.corrupt) / (each.clean - each.corrupt), 1e-12);
  }
  EXPECT_EQ((first.effect.low + first.effect.high) / 2, 0.0);  // colours around what does nothing
  EXPECT_EQ((second.effect.low + second.effect.high) / 2, 1.0);
  EXPECT_EQ((second.raw.low + second.raw.high) / 2, 0.0);
  EXPECT_EQ(first.low[2], 0.3);
  EXPECT_TRUE(std::isnan(first.high[4]));
  const SweptCell cell = swept_cell(first, 1, 1);
  EXPECT_EQ(cell.layer, 1u);
  EXPECT_EQ(cell.head, 0u);
  EXPECT_EQ(cell.position, 1u);
}

TEST_F(PatchingPanel, CommandsRepeatACell) {
  SweepResult sweep = read_sweep(sweep_json(false), "x");
  const auto commands = commands_of_cell(sweep, sweep.directions[0], swept_cell(sweep.directions[0], 1, 2));
  ASSERT_EQ(commands.size(), 2u);
  EXPECT_EQ(commands[0],
            "vitrine record 'a model.gguf' --text 'The end' --points blocks.1.attn.hook_z --attention none --precision exact -o source.h5");
  EXPECT_EQ(commands[1],
            "vitrine score 'a model.gguf' --text 'It'\\''s end' --precision exact --continuation ' x' --continuation ' y' --intervene "
            "'patch:blocks.1.attn.hook_z:from=source.h5,head=1,position=0'");
  const auto back = commands_of_cell(sweep, sweep.directions[1], {.layer = 0, .head = 2, .position = {}});
  EXPECT_NE(back[0].find("'It'\\''s end'"), std::string::npos);
  EXPECT_NE(back[1].find("head=2,position=0..1"), std::string::npos);
  sweep.sweep = "pattern";
  EXPECT_TRUE(commands_of_cell(sweep, sweep.directions[0], {}).empty());
  sweep.sweep = "z";
  sweep.question = Json();
  EXPECT_TRUE(commands_of_cell(sweep, sweep.directions[0], {}).empty());
}

TEST_F(PatchingPanel, AClickShowsTheRunsAndChoosesThePlace) {
  start({record_tiny(), write("sweep.json", sweep_json(true).dump())}, "patching");
  ASSERT_TRUE(surface_);
  EXPECT_FALSE(item_named("patching/copy"));
  click("patching/first/1.1");
  EXPECT_EQ(desk_->selection.layer, 1u);
  EXPECT_EQ(desk_->selection.head, 0u);
  EXPECT_EQ(desk_->selection.query, 1u);
  EXPECT_EQ(state()["row"].integer(), 1);
  ASSERT_TRUE(item_named("patching/copy"));
  click("patching/copy");
  EXPECT_NE(std::string(ImGui::GetClipboardText()).find("vitrine score"), std::string::npos);
  click("patching/second/0.2");
  EXPECT_EQ(state()["direction"].integer(), 1);
  EXPECT_EQ(desk_->selection.head, 1u);
  click("patching/raw");
  EXPECT_TRUE(state()["raw"].boolean());
  const Figure figure = workbench_->view("patching")->figure(*desk_);
  ASSERT_EQ(figure.grids.size(), 2u);
  EXPECT_EQ(figure.grids[0].values[3], 8.0);
  EXPECT_EQ(figure.tables.size(), 2u);  // intervals
  EXPECT_TRUE(desk_->messages().empty());
}

TEST_F(PatchingPanel, WhatIsNoSweepIsAMessage) {
  start({write("odd.json", R"({"sweep": "z", "effect": [[1, 2], [3]]})")}, "patching");
  ASSERT_TRUE(surface_);
  ASSERT_EQ(desk_->messages().size(), 1u);
  EXPECT_NE(desk_->messages().front().text.find("a matrix of effects"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
