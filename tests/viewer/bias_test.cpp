#include <chrono>
#include <cmath>
#include <thread>

#include "core/base/csv.h"
#include "probes/statistics/estimate.h"
#include "tests/experiments/tokenizing_model.h"
#include "tests/viewer/workbench_fixture.h"
#include "viewer/data/study_items.h"

namespace vitrine {
namespace {

constexpr const char* items_csv =
    "item,group,cluster,direction,logprob_more,logprob_less,difference,term_part,association_part,tokens_more,tokens_less,sentence_more,sentence_less\r\n"
    "p0,age,w1,stereo,-9.5,-9,-0.5,-0.25,-0.25,4,4,\"ab,a\",\"ab,b\"\r\n"
    "p1,age,w2,antistereo,-4,-7,3,1,2,4,5,\"abc,a\",\"abb,a\"\r\n"
    "p2,control,w3,,-4,-5,1,0.5,0.5,3,3,ac,bc\r\n";

Estimate estimate_of(const std::string& name, const char* unit = "nats") {
  Estimate estimate = clustered_mean(name, std::vector<double>{0.4, 0.1, 0.7, 0.2, 0.5, 0.3, 0.2, 0.8, 0.5, 0.6, 0.4}, {});
  estimate.unit = unit;
  judge(estimate, 0.0, 0.1);
  return estimate;
}

Json study_json(const std::string& kind, const std::string& model) {
  Json estimates = Json::array();
  for (const char* name : {"association part, all categories", "age: association part", "control (nothing social changes): association part", "antistereo: sign rate", "sign rate, equal length"}) {
    estimates.push(to_json(estimate_of(name)));
  }
  estimates.push(to_json(not_measurable("term part", "nats", "no such thing")));
  estimates.push(to_json(estimate_of("competence: word order preferred", "share")));
  Json study = Json::object().set("study", kind).set("title", "a study").set("question", "which?").set("estimates", estimates);
  return study.set("signature", Json::object().set("model", model).set("precision", "exact").set("kernel", "reference").set("bos", "yes")).set("notes", Json::array().push("a note"));
}

class BiasPanel : public WorkbenchTest {
 protected:
  void write_pairs() {
    study_ = write("study.json", study_json("pairs", std::filesystem::path(model_.path()).filename().string()).dump());
    write("items.csv", items_csv);
  }
  std::filesystem::path write_mediation() {
    Json rows = Json::array();
    rows.push(Json::object().set("set", "L0H1").set("indirect", 0.125).set("low", 0.1).set("high", 0.2));
    rows.push(Json::object().set("set", "L1H2").set("indirect", -0.5).set("low", nullptr).set("high", nullptr));
    rows.push(Json::object().set("set", "layer 1").set("indirect", 9.0));
    Json tables = Json::array();
    tables.push(Json::object().set("title", "By head").set("rows", rows));
    return write("mediation.json", study_json("mediation", "llama").set("tables", tables).dump());
  }
  /// Frames until a child process has made what was asked for.
  void wait_for_child() {
    for (int i = 0; i < 3000 && desk_->recording("bias") != nullptr; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      frame();
    }
    settle();
  }
  Json state() { return workbench_->view("bias")->state(); }

  TokenizingModel model_;
  std::filesystem::path study_;
};

TEST(StudyItems, TheRowsBehindAnEstimate) {
  ScratchFile file("items");
  std::ofstream(file.path.parent_path() / "items.csv") << items_csv;
  const ItemTable items = read_items(file.path.parent_path() / "items.csv");
  const auto rows = [&](const char* name) { return rows_behind(estimate_of(name), items); };
  EXPECT_EQ(rows("association part, all categories"), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(rows("age: association part"), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(rows("control: sign rate"), (std::vector<std::size_t>{2}));
  EXPECT_EQ(rows("antistereo: sign rate"), (std::vector<std::size_t>{1}));
  EXPECT_EQ(rows("sign rate, equal length"), (std::vector<std::size_t>{0}));
  EXPECT_EQ(items.csv.header[column_behind(estimate_of("term part"), items)], "term_part");
  EXPECT_EQ(items.csv.header[column_behind(estimate_of("sign rate of the whole difference"), items)], "difference");
  EXPECT_EQ(items.csv.header[column_behind(estimate_of("age: association part"), items)], "association_part");
  EXPECT_FALSE(items.is_text(items.column("group")));
  EXPECT_TRUE(items.is_text(items.column("sentence_more")));
  EXPECT_TRUE(items.is_text(items.column("cluster")));  // may be the term itself
  EXPECT_EQ(sorted_rows(items, {0, 1, 2}, items.column("difference"), true), (std::vector<std::size_t>{1, 2, 0}));
  EXPECT_EQ(sorted_rows(items, {0, 1, 2}, items.column("direction"), true), (std::vector<std::size_t>{0, 1, 2}));  // the empty one last
}

TEST(StudyItems, RefusesWhatIsNoTable) {
  ScratchFile file("no_items");
  const auto path = file.path.parent_path() / "items.csv";
  EXPECT_THROW(read_items(path), Error);
  std::ofstream(path) << "a,b\n1\n";
  EXPECT_THROW(read_items(path), Error);
  std::ofstream(path) << "a,b\n\"1";
  EXPECT_THROW(read_items(path), Error);
}

/// The split of a pair against its definition: u, a | b, w.
TEST(StudyItems, AlignsPrefixChangeAndRest) {
  const float nan = std::nanf("");
  const auto lines = align({8, 1, 2, 3, 9}, {8, 1, 4, 9}, {nan, -1, -2, -3, -4}, {nan, -1, -6, -1});
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[1].part, PairLine::Part::prefix);
  EXPECT_EQ(lines[2].part, PairLine::Part::changed);
  EXPECT_EQ(lines[3].part, PairLine::Part::changed);
  EXPECT_FALSE(lines[3].less);
  EXPECT_EQ(lines[4].part, PairLine::Part::rest);
  EXPECT_EQ(lines[4].less, 3u);
  EXPECT_DOUBLE_EQ(lines[0].difference(), 0.0);
  EXPECT_DOUBLE_EQ(lines[2].difference() + lines[3].difference(), -2 - 3 + 6);
  EXPECT_DOUBLE_EQ(lines[4].difference(), -3.0);
  EXPECT_EQ(align({1, 1}, {1}, {}, {}).size(), 2u);  // the longer one repeats: nothing is counted twice
  EXPECT_TRUE(align({}, {}, {}, {}).empty());
}

/// From a bar to the items, to a pair, to its tokens by a child process, to a head, to its attention.
TEST_F(BiasPanel, ClicksLeadFromABarToTheAttention) {
  write_pairs();
  start({write_mediation(), study_}, "", {1900, 1100});
  ASSERT_TRUE(surface_);
  click("bias/row/1");
  EXPECT_EQ(state()["estimate"].integer(), 1);
  ASSERT_TRUE(item_named("bias/item/0"));
  EXPECT_FALSE(item_named("bias/item/2"));  // the control is another group
  click("bias/item/0");
  EXPECT_EQ(state()["item"].integer(), 1);  // the largest association part first
  click("bias/model");
  press(ImGuiMod_Ctrl | ImGuiKey_A);
  type(model_.path());
  click("bias/run");
  wait_for_child();
  ASSERT_TRUE(desk_->messages().empty()) << desk_->messages().front().text;
  const DocumentPointer recording = desk_->shown(DocumentKind::recording);
  ASSERT_TRUE(recording);
  EXPECT_EQ(recording->recording->sequences(), 2u);
  EXPECT_EQ(recording->recording->provenance()["kernel"].string(), "reference");
  const auto pair = find_pair(desk_->documents(), "abc,a", "abb,a");
  ASSERT_TRUE(pair);
  double sum = 0.0;
  for (const auto& [sequence, sign] : {std::pair(pair->more_sequence, 1.0), std::pair(pair->less_sequence, -1.0)}) {
    for (const float each : recording->recording->log_probabilities(sequence)) sum += std::isnan(each) ? 0.0 : sign * static_cast<double>(each);
  }
  EXPECT_NEAR(pair->term + pair->association, sum, 1e-9);
  click("bias/token/1");
  EXPECT_EQ(desk_->selection.query, 0u);
  EXPECT_TRUE(item_named("attention/map"));
  workbench_->show_panel("bias");
  settle();
  click("bias/head/0");
  EXPECT_EQ(desk_->selection.layer, 1u);
  EXPECT_EQ(desk_->selection.head, 2u);
  EXPECT_EQ(desk_->selection.sequence, pair->more_sequence);
  EXPECT_TRUE(item_named("attention/map"));
}

TEST_F(BiasPanel, TextsAreHiddenUntilAsked) {
  write_pairs();
  start({study_}, "bias", {1400, 900});
  ASSERT_TRUE(surface_);
  click("bias/row/0");
  click("bias/item/1");
  const auto hidden = surface_->pixels();
  click("bias/texts");
  EXPECT_NE(hidden, surface_->pixels());
  EXPECT_FALSE(state().has("texts"));  // no session shows them to somebody who did not ask
  click("bias/texts");
  press(ImGuiKey_J);
  EXPECT_EQ(state()["item"].integer(), 1);
  press(ImGuiKey_Escape);
  press(ImGuiKey_Escape);
  EXPECT_FALSE(state().has("estimate"));
}

TEST_F(BiasPanel, ANarrowWindowTurnsPages) {
  write_pairs();
  start({study_}, "bias", {640, 480});
  ASSERT_TRUE(surface_);
  click("bias/row/0");
  EXPECT_FALSE(item_named("bias/row/0"));
  click("bias/item/0");
  EXPECT_TRUE(item_named("bias/texts"));
  click("bias/estimate");
  EXPECT_TRUE(item_named("bias/filter"));
  click("bias/all");
  EXPECT_TRUE(item_named("bias/row/0"));
}

TEST_F(BiasPanel, AFailingRunIsAMessage) {
  write_pairs();
  start({study_}, "bias", {1400, 900});
  ASSERT_TRUE(surface_);
  click("bias/row/0");
  click("bias/item/0");
  click("bias/model");
  press(ImGuiMod_Ctrl | ImGuiKey_A);
  type("/nowhere/model.gguf");
  click("bias/run");
  wait_for_child();
  ASSERT_EQ(desk_->messages().size(), 1u);
  EXPECT_NE(desk_->messages()[0].text.find("/nowhere/model.gguf"), std::string::npos) << desk_->messages()[0].text;
}

TEST_F(BiasPanel, BrokenItems) {
  write_pairs();
  write("items.csv", "a,b\n1\n");
  start({study_}, "bias");
  ASSERT_TRUE(surface_);
  click("bias/row/0");
  EXPECT_FALSE(item_named("bias/filter"));
  EXPECT_TRUE(desk_->messages().empty()) << desk_->messages().front().text;
}

TEST_F(BiasPanel, BrokenStates) {
  write_pairs();
  start({study_}, "bias");
  ASSERT_TRUE(surface_);
  for (const char* text : {R"({"estimate": 99, "item": 3})", R"({"estimate": 0, "item": 99999})", R"({"estimate": -1})", R"({"estimate": "x", "filter": 3})", R"({"estimate": 0, "item": 2, "filter": "nothing"})"}) {
    workbench_->view("bias")->restore(parse_json(text, "state"));
    settle();
  }
  EXPECT_TRUE(desk_->messages().empty()) << desk_->messages().front().text;
}

}  // namespace
}  // namespace vitrine
