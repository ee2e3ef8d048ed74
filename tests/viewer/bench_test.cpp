#include <cmath>

#include "tests/viewer/workbench_fixture.h"
#include "viewer/data/bench_runs.h"

namespace vitrine {
namespace {

Json row(const std::string& name, double milliseconds, double share) {
  return Json::object().set("name", name).set("run_name", name).set("run_type", "iteration").set("real_time", milliseconds).set("cpu_time", 1.0).set("time_unit", "ms").set("iterations", 7).set("of_f32_peak", share);
}

Json file(const std::string& date, std::vector<Json> rows) {
  Json list = Json::array();
  for (Json& each : rows) list.push(std::move(each));
  return Json::object().set("context", Json::object().set("date", date).set("host_name", "h")).set("benchmarks", list);
}

class BenchPanel : public WorkbenchTest {
 protected:
  std::vector<std::filesystem::path> three_files() {
    Json mean = row("attention/a", 999.0, 9.0).set("run_type", "aggregate").set("aggregate_name", "mean");
    Json failed = Json::object().set("name", "attention/c").set("run_type", "iteration").set("error_occurred", true).set("error_message", "no such instruction");
    return {write("new.json", file("2026-03-01T10:00:00+00:00", {row("attention/a", 1.0, 0.5), row("attention/a", 3.0, 0.7), row("attention/a", 2.0, 0.6), mean, row("matmul/b", 4.0, 0.25), failed}).dump()),
            write("old.json", file("2026-01-01T10:00:00+00:00", {row("attention/a", 4.0, 0.1), row("matmul/b", 2.0, 0.5)}).dump()),
            write("middle.json", file("2026-02-01T10:00:00+00:00", {row("attention/a", 3.0, 0.1)}).dump())};
  }
  Json state() { return workbench_->view("bench")->state(); }
};

TEST_F(BenchPanel, MedianAndSpreadOfRepetitions) {
  const BenchRun run = read_bench(*open_document(three_files()[0]));
  ASSERT_EQ(run.rows.size(), 3u);
  const BenchSpread* time = run.row("attention/a")->quantity("time");
  ASSERT_TRUE(time);
  EXPECT_DOUBLE_EQ(time->median, 2e-3);  // aggregates are not counted
  EXPECT_DOUBLE_EQ(time->low, 1e-3);
  EXPECT_DOUBLE_EQ(time->high, 3e-3);
  EXPECT_EQ(time->count, 3u);
  EXPECT_EQ(run.row("attention/a")->quantity("iterations"), nullptr);
  EXPECT_DOUBLE_EQ(run.row("attention/a")->share_of_machine()->first, 0.6);
  EXPECT_EQ(run.row("attention/c")->failure, "no such instruction");
  EXPECT_EQ(run.row("attention/c")->quantity("time"), nullptr);
  EXPECT_DOUBLE_EQ(spread_of({4.0, 1.0, 2.0, 3.0}).median, 2.5);
  EXPECT_DOUBLE_EQ(spread_of({NAN, 2.0}).median, 2.0);
  EXPECT_EQ(spread_of({}).count, 0u);
}

TEST_F(BenchPanel, AFileOfAggregatesAlone) {
  const Json median = row("a", 5.0, 0.5).set("run_type", "aggregate").set("aggregate_name", "median"), deviation = row("a", 1.0, 0.5).set("run_type", "aggregate").set("aggregate_name", "stddev");
  const BenchRun run = read_bench(*open_document(write("aggregates.json", file("", {median, deviation}).dump())));
  ASSERT_EQ(run.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(run.rows[0].quantity("time")->median, 5e-3);
}

TEST_F(BenchPanel, PeersAreRows) {
  Json results = Json::array();
  const auto result = [](const char* runner) { return Json::object().set("model", "m.gguf").set("task", Json::object().set("kind", "decode").set("tokens", 512)).set("runner", runner); };
  results.push(result("vitrine fast").set("seconds", Json::array().push(0.5).push(0.25).push(1.0)).set("kl", 1e-6));
  results.push(result("other").set("gap", "not installed"));
  const auto path = write("peers.json", Json::object().set("context", Json::object().set("date", "2026-01-01")).set("arguments", Json::array()).set("results", results).dump());
  const BenchRun run = read_bench(*open_document(path));
  ASSERT_EQ(run.rows.size(), 2u);
  EXPECT_EQ(run.rows[0].name, "decode 512 / vitrine fast / m.gguf");
  EXPECT_DOUBLE_EQ(run.rows[0].quantity("time")->median, 0.5);
  EXPECT_EQ(run.rows[1].failure, "not installed");
  start({path}, "bench");
  ASSERT_TRUE(surface_);
  EXPECT_TRUE(item_named("bench/row/1"));
}

TEST_F(BenchPanel, OverTimeRelativeToTheFirstFile) {
  start(three_files(), "bench", {1400, 900});
  ASSERT_TRUE(surface_);
  const Figure as_it_is = workbench_->view("bench")->figure(*desk_);
  ASSERT_EQ(as_it_is.points.size(), 2u);  // the third has no number
  EXPECT_EQ(as_it_is.points[0].points.size(), 3u);
  EXPECT_DOUBLE_EQ(as_it_is.points[0].points[0].y, 4e-3);  // oldest first
  press(ImGuiKey_R);
  EXPECT_EQ(state()["base"].string(), "of the first file");
  const Figure relative = workbench_->view("bench")->figure(*desk_);
  EXPECT_DOUBLE_EQ(relative.points[0].points[2].y, 0.5);
  EXPECT_DOUBLE_EQ(relative.points[0].points[2].y_high, 0.75);
  click("bench/row/1");  // followed no longer, but what others are compared with
  EXPECT_EQ(state()["followed"].items().size(), 2u);
  EXPECT_EQ(state()["chosen"].string(), "matmul/b");
  click("bench/base");
  click("bench/base/2");
  const Figure beside = workbench_->view("bench")->figure(*desk_);
  EXPECT_DOUBLE_EQ(beside.points[0].points[0].y, 2.0);  // 4 ms of 2 ms
  EXPECT_DOUBLE_EQ(beside.points[0].points.back().y, 0.5);
  click("bench/filter");
  type("MAT b");
  EXPECT_TRUE(item_named("bench/row/0"));
  EXPECT_FALSE(item_named("bench/row/1"));
  click("bench/quantity");
  click("bench/quantity/2");
  EXPECT_EQ(state()["quantity"].string(), "of_f32_peak");
}

TEST_F(BenchPanel, BrokenFilesAndStates) {
  const auto path = write("broken.json", R"({"context": {}, "benchmarks": [3]})");
  start({path, write("empty.json", R"({"context": {}, "benchmarks": []})")}, "bench");
  ASSERT_TRUE(surface_);
  EXPECT_FALSE(desk_->messages().empty());
  desk_->close(desk_->documents()[0]);
  settle();
  PanelView* view = workbench_->view("bench");
  ASSERT_TRUE(view);
  view->restore(parse_json(R"({"quantity": 3, "followed": [1, "x"], "base": "nothing"})", "state"));
  settle();
  EXPECT_THROW(view->figure(*desk_), Error);
}

}  // namespace
}  // namespace vitrine
