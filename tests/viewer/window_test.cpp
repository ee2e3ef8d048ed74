#include <GLFW/glfw3.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <imgui.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>

#include "core/base/error.h"
#include "tests/viewer/workbench_fixture.h"

// The real window, on a display of Xvfb's that the test starts: it opens, changes its size, takes a dropped file, sleeps, and closes.

extern char** environ;

namespace vitrine {
namespace {

/// A display of its own; none where Xvfb is not installed.
class Display {
 public:
  Display() {
    std::array<int, 2> pipe_ends{};
    if (pipe(pipe_ends.data()) != 0) return;
    const std::string number = std::to_string(pipe_ends[1]);
    std::string words[] = {"Xvfb", "-displayfd", number, "-screen", "0", "1400x900x24", "-nolisten", "tcp"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&process_, "Xvfb", &actions, nullptr, arguments.data(), environ) != 0) process_ = 0;
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_ends[1]);
    std::string text;
    for (char letter = 0; process_ != 0 && read(pipe_ends[0], &letter, 1) == 1 && letter != '\n';) text += letter;  // it tells once it is ready
    close(pipe_ends[0]);
    if (!text.empty()) name_ = ":" + text;
  }
  ~Display() {
    if (process_ == 0) return;
    kill(process_, SIGTERM);
    waitpid(process_, nullptr, 0);
  }
  const std::string& name() const { return name_; }

 private:
  pid_t process_ = 0;
  std::string name_;
};

/// Plays a script, a step a frame, around a workbench.
class Script : public Scene {
 public:
  Script(std::unique_ptr<Workbench> workbench, std::function<void(int frame)> step) : workbench_(std::move(workbench)), step_(std::move(step)) {}
  bool frame() override {
    const bool busy = workbench_->frame();
    step_(count_++);
    wake_window();
    return busy;
  }
  void dropped(const std::vector<std::string>& files) override { workbench_->dropped(files); }
  bool wants_to_close() const override { return workbench_->wants_to_close(); }

 private:
  std::unique_ptr<Workbench> workbench_;
  std::function<void(int)> step_;
  int count_ = 0;
};

class WindowTest : public WorkbenchTest {};

TEST_F(WindowTest, OpensResizesTakesAFileAndCloses) {
  const Display display;
  if (display.name().empty()) GTEST_SKIP() << "no Xvfb here";
  setenv("DISPLAY", display.name().c_str(), 1);
  const std::string file = record_tiny().string();
  Desk desk(TileCache::Options{.ready = wake_window});
  ImVec2 before{}, after{};
  bool drawn = false;
  run_window("test", {900, 600}, Look{}, [&] {
    return std::make_unique<Script>(std::make_unique<Workbench>(desk, Look{}), [&](int frame) {
      GLFWwindow* window = glfwGetCurrentContext();
      if (frame == 5) before = ImGui::GetIO().DisplaySize;
      if (frame == 6) glfwSetWindowSize(window, 1100, 700);
      if (frame == 30) {
        after = ImGui::GetIO().DisplaySize;
        const GLFWdropfun drop = glfwSetDropCallback(window, nullptr);  // what the window system would call
        ASSERT_NE(drop, nullptr);
        const char* paths[] = {file.c_str(), "/nowhere/missing.h5"};
        drop(window, 2, paths);
      }
      if (frame == 60) drawn = item_named("attention/seen").has_value();
      if (frame == 61) glfwSetWindowShouldClose(window, GLFW_TRUE);
    });
  });
  EXPECT_EQ(before.x, 900.0f);
  EXPECT_EQ(after.x, 1100.0f);
  EXPECT_EQ(after.y, 700.0f);
  ASSERT_EQ(desk.documents().size(), 1u);
  EXPECT_EQ(desk.messages().size(), 1u);  // of the file that is not there
  EXPECT_TRUE(drawn);
}

TEST_F(WindowTest, SleepsWhileNothingHappens) {
  const Display display;
  if (display.name().empty()) GTEST_SKIP() << "no Xvfb here";
  setenv("DISPLAY", display.name().c_str(), 1);
  class Idle : public Scene {
   public:
    Idle(std::unique_ptr<Workbench> workbench, int& count) : workbench_(std::move(workbench)), frames(count) {}
    bool frame() override {
      const auto now = std::chrono::steady_clock::now();
      if (frames == 8) begin = now;
      ++frames;
      stop = frames > 8 && now - begin > std::chrono::seconds(3);
      workbench_->frame();
      return false;
    }
    bool wants_to_close() const override { return stop; }
    std::unique_ptr<Workbench> workbench_;
    std::chrono::steady_clock::time_point begin;
    int& frames;
    bool stop = false;
  };
  Desk desk(TileCache::Options{.ready = wake_window});
  desk.open(record_tiny());
  int frames = 0;
  run_window("test", {900, 600}, Look{}, [&] { return std::make_unique<Idle>(std::make_unique<Workbench>(desk, Look{}), frames); });
  EXPECT_LT(frames, 40);  // some to settle, then a look at the files each second: a window that draws on would make hundreds
}

}  // namespace
}  // namespace vitrine
