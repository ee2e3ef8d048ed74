#include "tests/viewer/workbench_fixture.h"

#include "viewer/workbench/export.h"
#include "viewer/workbench/palette.h"

namespace vitrine {
namespace {

TEST_F(WorkbenchTest, AClickOnTheMapChoosesAQueryAndAKey) {
  start({record_tiny()});
  ASSERT_TRUE(surface_);
  const auto map = item_named("attention/map");
  ASSERT_TRUE(map);
  EXPECT_FALSE(desk_->selection.query);
  click(Corner{map->from.x + 3.0f, map->from.y + 3.0f});
  EXPECT_EQ(desk_->selection.query, 0u);
  EXPECT_EQ(desk_->selection.key, 0u);
  press(ImGuiKey_J);
  EXPECT_EQ(desk_->selection.query, 1u);
}

TEST_F(WorkbenchTest, WhatIsOpenedComesToTheFront) {
  start({});
  ASSERT_TRUE(surface_);
  open_anything(*workbench_, record_tiny().string());
  settle();
  EXPECT_TRUE(item_named("attention/map"));
  EXPECT_TRUE(item_named("heads/grid"));
}

TEST_F(WorkbenchTest, AThumbnailOpensItsHead) {
  start({record_tiny()});
  ASSERT_TRUE(surface_);
  click("heads/1.2");
  EXPECT_EQ(desk_->selection.layer, 1u);
  EXPECT_EQ(desk_->selection.head, 2u);
  press(ImGuiMod_Ctrl | ImGuiKey_Z);
  EXPECT_EQ(desk_->selection.layer, 0u);
  press(ImGuiMod_Ctrl | ImGuiKey_Y);
  EXPECT_EQ(desk_->selection.layer, 1u);
}

TEST_F(WorkbenchTest, ThePaletteGoesToAHeadByItsName) {
  start({record_tiny()});
  ASSERT_TRUE(surface_);
  press(ImGuiMod_Ctrl | ImGuiKey_P);
  ASSERT_TRUE(item_named("palette/input"));
  type("L1H3");
  press(ImGuiKey_Enter);
  EXPECT_FALSE(item_named("palette/input"));
  EXPECT_EQ(desk_->selection.layer, 1u);
  EXPECT_EQ(desk_->selection.head, 3u);
}

TEST_F(WorkbenchTest, TheWheelZoomsAndFShowsAllAgain) {
  start({record_tiny()}, "attention");
  ASSERT_TRUE(surface_);
  const auto fitted = [&] { return workbench_->view("attention")->state()["view"]["fitted"].boolean(); };
  EXPECT_TRUE(fitted());
  wheel("attention/map", 3.0f);
  EXPECT_FALSE(fitted());
  click("attention/fit");
  EXPECT_TRUE(fitted());
}

TEST_F(WorkbenchTest, ASessionComesBackAsItWas) {
  start({record_tiny()});
  ASSERT_TRUE(surface_);
  desk_->selection = {1, 2, 1, 3, {}};
  settle();
  save_session(*workbench_, (folder_ / "all.vitrine").string());
  Desk other(TileCache::Options{});
  Workbench again(other, Look{});
  open_anything(again, (folder_ / "all.vitrine").string());
  EXPECT_TRUE(other.messages().empty()) << other.messages().front().text;
  ASSERT_EQ(other.documents().size(), 1u);
  EXPECT_EQ(other.selection, desk_->selection);
  again.dropped({write("broken.vitrine", "{\"vitrine_session\": 2}").string()});
  ASSERT_EQ(other.messages().size(), 1u);
}

TEST_F(WorkbenchTest, LayoutsOfStrangersAreTrees) {
  Desk desk(TileCache::Options{});
  Workbench workbench(desk, Look{});
  const auto session = [](const char* layout) { return Json::object().set("vitrine_session", 1).set("files", Json::array()).set("layout", layout); };
  EXPECT_NO_THROW(workbench.load_session(session("[Docking][Data]\nDockSpace ID=0x1 Split=X\n  DockNode ID=0x2 Parent=0x1\n  DockNode ID=0x3 Parent=0x1\n"), folder_));
  for (const char* layout : {"DockNode ID=0x1 Parent=0x1\n", "DockSpace ID=0x1\nDockNode ID=0x2 Parent=0x3\nDockNode ID=0x3 Parent=0x2\n", "DockSpace ID=0x1\nDockNode ID=0x1 Parent=0x1\n"}) {
    EXPECT_THROW(workbench.load_session(session(layout), folder_), Error) << layout;
  }
}

TEST_F(WorkbenchTest, WhatCannotBeOpenedIsAMessage) {
  start({record_tiny(), write("foreign.h5", "\x89HDF\r\n\x1a\n and nothing else"), write("other.json", "{\"a\": 1}"), folder_ / "missing.h5"});
  ASSERT_TRUE(surface_);
  EXPECT_EQ(desk_->documents().size(), 1u);
  EXPECT_EQ(desk_->messages().size(), 3u);
  ASSERT_TRUE(item_named("attention/map"));
  click("message/0/close");
  EXPECT_EQ(desk_->messages().size(), 2u);
}

TEST_F(WorkbenchTest, EveryPanelDrawsAndIsData) {
  start({record_tiny(), record_tiny("llama", "second.h5")});
  ASSERT_TRUE(surface_);
  for (const Panel* panel : all_panels()) {
    if (!available(*panel, *desk_)) continue;
    workbench_->show_panel(panel->name);
    settle();
    EXPECT_TRUE(item_named("panel/" + std::string(panel->name))) << panel->name;
    EXPECT_FALSE(workbench_->view(panel->name)->figure(*desk_).empty()) << panel->name;
  }
  EXPECT_TRUE(desk_->messages().empty()) << desk_->messages().front().text;
}

TEST_F(WorkbenchTest, ComparesTheSecondRecordingWithTheFirst) {
  const auto first = record_tiny(), second = record_tiny("llama", "second.h5");
  start({first, second}, "compare");
  ASSERT_TRUE(surface_);
  EXPECT_EQ(desk_->reference()->path, first);
  EXPECT_EQ(desk_->shown(DocumentKind::recording)->path, second);
  click("compare/mode/1");
  EXPECT_TRUE(item_named("compare/difference"));
  const Figure figure = workbench_->view("compare")->figure(*desk_);
  for (const double value : figure.grids.at(0).values) EXPECT_TRUE(value == 0.0 || std::isnan(value));  // the same model twice
  for (const auto& row : figure.tables.at(0).rows) EXPECT_EQ(std::stod(row[2]), 0.0);
  click("compare/mode/0");
  EXPECT_TRUE(item_named("compare/shown"));
  EXPECT_TRUE(item_named("compare/reference"));
  wheel("compare/shown", 2.0f);
  EXPECT_FALSE(workbench_->view("compare")->state()["view"]["fitted"].boolean());
  click("compare/row/3");
  EXPECT_TRUE(desk_->messages().empty());
}

TEST_F(WorkbenchTest, OtherTextsAreNotCompared) {
  const auto first = record_tiny();
  TinyModel tiny("llama");
  RecorderOptions options;
  options.path = folder_ / "other.h5";
  options.points = {};
  options.kv_format = DType::f32;
  const std::vector<std::vector<TokenId>> other{{1, 2, 3, 4, 5, 6, 7, 8, 9}, {4, 5}};
  record(tiny, other, options)->finish();
  start({first, options.path}, "compare");
  ASSERT_TRUE(surface_);
  EXPECT_FALSE(item_named("compare/shown"));
  EXPECT_THROW(workbench_->view("compare")->figure(*desk_), Error);
}

TEST(Palette, ReadsHeads) {
  EXPECT_EQ(typed_head("L5H8"), std::pair(std::size_t{5}, std::size_t{8}));
  EXPECT_EQ(typed_head("5.8"), std::pair(std::size_t{5}, std::size_t{8}));
  EXPECT_EQ(typed_head("l12 h0"), std::pair(std::size_t{12}, std::size_t{0}));
  for (const char* words : {"", "5", "L5", "5.8.1", "undo", "H5L8", "99999999999999999999.1"}) EXPECT_FALSE(typed_head(words)) << words;
}

TEST(Palette, LettersMustComeInOrder) {
  EXPECT_FALSE(match_score("xyz", "File: open..."));
  EXPECT_GT(*match_score("open", "File: open..."), *match_score("open", "Show: one pen"));
}

}  // namespace
}  // namespace vitrine
