#include <chrono>
#include <cstdlib>
#include <thread>

#include "tests/experiments/tokenizing_model.h"
#include "tests/viewer/workbench_fixture.h"
#include "viewer/data/record_job.h"
#include "viewer/data/remembered.h"

namespace vitrine {
namespace {

class SentencePanel : public WorkbenchTest {
 protected:
  SentencePanel() { ::setenv("XDG_STATE_HOME", (folder_ / "state").c_str(), 1); }
  ~SentencePanel() override { ::unsetenv("XDG_STATE_HOME"); }

  void fill(const std::string& item, const std::string& text) {
    click(item);
    press(ImGuiMod_Ctrl | ImGuiKey_A);
    type(text);
  }
  void wait_for_child() {
    for (int i = 0; i < 3000 && desk_->recording("sentence") != nullptr; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      frame();
    }
    settle();
  }
  /// A program in the place of `vitrine`.
  std::filesystem::path script(const std::string& text) {
    const std::filesystem::path path = write("script", "#!/bin/sh\n" + text + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  RecordOrder order_of(const std::filesystem::path& program) {
    RecordOrder order;
    order.model = "model.gguf", order.texts = {"one \"two\"\nthree", ""}, order.precision = "exact";
    order.program = program;
    return order;
  }
  static void wait_for(const RecordJob& job) {
    for (int i = 0; i < 3000 && !job.done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(job.done());
  }
  TokenizingModel model_;
};

TEST_F(SentencePanel, RunsATextAndOpensItsRecording) {
  start({}, "", {1500, 1000});
  ASSERT_TRUE(surface_);
  workbench_->show_panel("sentence");
  settle();
  fill("sentence/model", model_.path());
  fill("sentence/text", "ab,\"a\" abc");
  click("sentence/precision");
  click("sentence/precision/1");
  fill("sentence/kernel", "reference");
  press(ImGuiMod_Ctrl | ImGuiKey_Enter);
  wait_for_child();
  ASSERT_TRUE(desk_->messages().empty()) << desk_->messages().front().text;
  const DocumentPointer made = desk_->shown(DocumentKind::recording);
  ASSERT_TRUE(made);
  std::string text;
  for (const std::string& token : made->recording->token_texts(0)) text += token;
  EXPECT_TRUE(text.ends_with("ab,\"a\" abc")) << text;
  EXPECT_EQ(made->recording->provenance()["precision"].string(), "exact");
  EXPECT_EQ(made->recording->provenance()["kernel"].string(), "reference");
  EXPECT_TRUE(item_named("attention/map"));
  EXPECT_EQ(remembered("models"), (std::vector{model_.path()}));
  EXPECT_EQ(desk_->models(), (std::vector{model_.path()}));  // from the list and from the recording: once
  workbench_->show_panel("sentence");
  settle();
  EXPECT_EQ(workbench_->view("sentence")->state()["text"].string(), "ab,\"a\" abc");
}

TEST_F(SentencePanel, WhatTheChildSaysIsAMessage) {
  start({}, "sentence");
  ASSERT_TRUE(surface_);
  fill("sentence/model", (folder_ / "missing.gguf").string());
  click("sentence/run");
  wait_for_child();
  ASSERT_EQ(desk_->messages().size(), 1u);
  EXPECT_TRUE(desk_->messages()[0].error);
  EXPECT_NE(desk_->messages()[0].text.find("missing.gguf"), std::string::npos) << desk_->messages()[0].text;
  EXPECT_TRUE(desk_->documents().empty());
}

TEST_F(SentencePanel, ProgressIsShownAndCancelEndsIt) {
  start({}, "sentence");
  ASSERT_TRUE(surface_);
  desk_->record("sentence", order_of(script("printf 'record 1/2\\r' >&2; sleep 600")), {});
  for (int i = 0; i < 3000 && desk_->recording("sentence")->progress() != "record 1/2"; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  settle();
  EXPECT_EQ(desk_->recording("sentence")->progress(), "record 1/2");
  click("sentence/cancel");
  wait_for_child();
  EXPECT_EQ(desk_->recording("sentence"), nullptr);
  ASSERT_EQ(desk_->messages().size(), 1u);
  EXPECT_FALSE(desk_->messages()[0].error);
  desk_->record("sentence", order_of(script("sleep 600")), {});  // closing the window ends it
}

TEST_F(SentencePanel, TextsReachTheChildInAFileOfOurOwn) {
  const auto heard = folder_ / "heard";
  RecordJob job(order_of(script("cat \"$4\" > '" + heard.string() + "'; stat -c %a \"$(dirname \"$4\")\" >> '" + heard.string() + "'; echo \"$VITRINE_PROGRESS $@\" >> '" + heard.string() + "'; echo \"$4\" > '" + heard.string() + ".path'")), {});
  wait_for(job);
  EXPECT_EQ(job.error(), "");
  std::ifstream file(heard);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(parse_json(line, "texts")["text"].string(), "one \"two\"\nthree");
  std::getline(file, line);
  EXPECT_EQ(parse_json(line, "texts")["text"].string(), "");
  std::getline(file, line);
  EXPECT_EQ(line, "700");  // nobody else reads it
  std::getline(file, line);
  EXPECT_TRUE(line.starts_with("1 record model.gguf --jsonl ")) << line;
  EXPECT_TRUE(line.ends_with("--precision exact")) << line;
}

TEST_F(SentencePanel, RefusesOrdersThatCannotWork) {
  RecordOrder order = order_of("/nowhere/vitrine");
  EXPECT_THROW(RecordJob(order, {}), Error);
  order.model = "";
  EXPECT_THROW(RecordJob(order, {}), Error);
  order.model = "--help";
  EXPECT_THROW(RecordJob(order, {}), Error);
}

TEST_F(SentencePanel, RemembersTheNewestFirst) {
  for (int i = 0; i < 30; ++i) remember("models", "/m/" + std::to_string(i));
  remember("models", "/m/20");
  remember("models", "with\nbreak");
  const auto models = remembered("models");
  ASSERT_EQ(models.size(), 20u);
  EXPECT_EQ(models[0], "/m/20");
  EXPECT_EQ(models[1], "/m/29");
  EXPECT_TRUE(remembered("other").empty());
}

}  // namespace
}  // namespace vitrine
