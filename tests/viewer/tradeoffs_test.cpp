#include <cmath>

#include "probes/statistics/estimate.h"
#include "tests/viewer/workbench_fixture.h"
#include "viewer/data/tradeoff_table.h"

namespace vitrine {
namespace {

Json estimate(const std::string& name, double value, Direction direction) {
  Estimate made = clustered_mean(name, std::vector<double>{value - 1, value, value + 1}, {});
  made.low = value - 0.5, made.high = value + 0.5;
  made.unit = "nats/token";
  made.direction = direction;
  if (name.starts_with("KL")) made.control = 0.001;  // signed changes have none
  return to_json(made);
}

/// Speed, more is better; size, less is better. d is beaten by b; e has no speed; the floor is the baseline.
Json study() {
  Json rows = Json::array();
  const auto row = [&](const char* name, Json speed, Json size) { rows.push(Json::object().set("variant", name).set("decode tok/s", std::move(speed)).set("weights MB", std::move(size)).set("words", "-")); };
  row("numeric floor: a", "10 [9, 12]", 4.0);
  row("b", 20, 2.0);
  row("c", 30, 3.0);
  row("d", "15 [14, 16]", 2.5);
  row("e", "-", 1.0);
  row("control: noise", 99, 0.5);
  Json tables = Json::array(), estimates = Json::array();
  tables.push(Json::object().set("title", "One row a variant").set("rows", rows));
  for (const auto& [name, value] : {std::pair("KL to the reference: b", 0.5), std::pair("KL to the reference against noise as large: c", 0.25), std::pair("likelihood: d", -0.5)}) {
    estimates.push(estimate(name, value, std::string_view(name).starts_with("KL") ? Direction::lower : Direction::higher));
  }
  return Json::object().set("study", "tradeoff").set("title", "Trade-offs").set("tables", tables).set("estimates", estimates);
}

class TradeoffsPanel : public WorkbenchTest {
 protected:
  TradeoffTable table() { return read_tradeoffs(*open_document(write("study.json", study().dump()))); }
  Json state() { return workbench_->view("tradeoffs")->state(); }
};

TEST_F(TradeoffsPanel, ReadsNumbersIntervalsAndEstimates) {
  const TradeoffTable read = table();
  ASSERT_EQ(read.columns.size(), 4u);  // a column of words is none
  EXPECT_EQ(read.columns[0].direction, Direction::higher);
  EXPECT_EQ(read.columns[0].cells[0].low, 9.0);
  EXPECT_EQ(read.columns[0].cells[0].high, 12.0);
  EXPECT_TRUE(std::isnan(read.columns[0].cells[4].value));
  EXPECT_EQ(read.columns[2].name, "KL to the reference");
  EXPECT_EQ(read.columns[2].direction, Direction::lower);
  EXPECT_EQ(read.columns[2].cells[1].value, 0.5);
  EXPECT_EQ(read.columns[2].cells[2].value, 0.25);
  EXPECT_EQ(read.columns[2].cells[2].high, 0.75);
  EXPECT_EQ(read.columns[2].cells[0].value, 0.001);  // the floor is the control of the others
  EXPECT_TRUE(std::isnan(read.columns[2].cells[3].value));
  EXPECT_EQ(read.columns[3].direction, Direction::higher);
  EXPECT_EQ(read.baseline, 0u);
  EXPECT_TRUE(read.controls[5]);
}

/// Against the definition: a variant is on the front if and only if no other is as good in both and better in one.
TEST_F(TradeoffsPanel, TheFrontIsWhatNothingBeats) {
  const TradeoffTable read = table();
  EXPECT_EQ(pareto_front(read, {0, 1, Direction::higher, Direction::lower}), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(pareto_front(read, {0, 1, Direction::lower, Direction::lower}), (std::vector<std::size_t>{0, 3, 1}));
  EXPECT_EQ(pareto_front(read, {1, 1, Direction::lower, Direction::lower}), (std::vector<std::size_t>{4}));
  EXPECT_EQ(pareto_front(read, {3, 1, Direction::target, Direction::lower}), (std::vector<std::size_t>{3}));
}

TEST_F(TradeoffsPanel, AClickOnAPointChoosesItsRow) {
  start({write("study.json", study().dump())}, "tradeoffs", {1400, 900});
  ASSERT_TRUE(surface_);
  ASSERT_FALSE(item_named("tradeoffs/point/1") && item_named("tradeoffs/point/3"));  // d has no KL
  click("tradeoffs/y");
  click("tradeoffs/y/1");
  EXPECT_EQ(state()["y"]["column"].string(), "weights MB");
  ASSERT_TRUE(item_named("tradeoffs/point/3"));
  EXPECT_FALSE(item_named("tradeoffs/point/4"));
  click("tradeoffs/point/3");
  EXPECT_EQ(state()["variant"].string(), "d");
  click("tradeoffs/row/2");
  EXPECT_EQ(state()["variant"].string(), "c");
  press(ImGuiKey_J);
  EXPECT_EQ(state()["variant"].string(), "d");
  ASSERT_TRUE(item_named("tradeoffs/point/5"));
  click("tradeoffs/controls");
  EXPECT_FALSE(item_named("tradeoffs/point/5"));
  click("tradeoffs/x/log");
  EXPECT_TRUE(state()["x"]["log"].boolean());
  click("tradeoffs/x/better");
  click("tradeoffs/x/better/1");
  EXPECT_EQ(state()["x"]["better"].string(), "lower");
  press(ImGuiKey_X);
  EXPECT_EQ(state()["x"]["column"].string(), "weights MB");
  click("tradeoffs/estimates");
  click("tradeoffs/forest/row/0");
  EXPECT_EQ(state()["variant"].string(), "b");
}

TEST_F(TradeoffsPanel, AsAFigure) {
  start({write("study.json", study().dump())}, "tradeoffs");
  ASSERT_TRUE(surface_);
  const Figure figure = workbench_->view("tradeoffs")->figure(*desk_);
  ASSERT_EQ(figure.points.size(), 1u);
  EXPECT_EQ(figure.points[0].points.size(), 3u);  // a, b, c have a KL and a speed
  ASSERT_EQ(figure.tables.size(), 1u);
  EXPECT_EQ(figure.tables[0].rows.size(), 6u);
  EXPECT_EQ(figure.notes.size(), 3u);  // the others are named
}

TEST_F(TradeoffsPanel, AStudyWithoutATableIsAMessage) {
  start({write("study.json", Json::object().set("study", "tradeoff").set("estimates", Json::array()).dump())}, "tradeoffs");
  ASSERT_TRUE(surface_);
  ASSERT_EQ(desk_->messages().size(), 1u);
}

}  // namespace
}  // namespace vitrine
