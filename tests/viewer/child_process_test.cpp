#include "viewer/data/child_process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "core/base/error.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

using namespace std::chrono_literals;

void wait_for(const ChildProcess& child) {
  for (int i = 0; i < 3000 && !child.done(); ++i) std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(child.done());
}

TEST(ChildProcess, WordsReachItAsTheyAre) {
  const std::string nasty = "a \"b\" $HOME `id` ; rm\n*";
  ChildProcess child({"/usr/bin/printf", {"%s|%s", nasty, ""}});
  wait_for(child);
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_EQ(child.output(), nasty + "|");
}

TEST(ChildProcess, KeepsTheLastLineOfItsErrors) {
  ChildProcess child({"/bin/sh", {"-c", "printf 'one\\rtwo 1/3\\rtwo 2/3\\nvitrine: no\\n' >&2; echo $OWN; exit 3"}, {{"OWN", "value"}}});
  wait_for(child);
  EXPECT_EQ(child.exit_code(), 3);
  EXPECT_EQ(child.last_words(), "vitrine: no");
  EXPECT_EQ(child.output(), "value\n");
}

TEST(ChildProcess, ReadsMoreThanAPipeHolds) {
  ChildProcess child({"/bin/sh", {"-c", "i=0; while [ $i -lt 20000 ]; do echo 0123456789; echo e >&2; i=$((i+1)); done"}});
  wait_for(child);
  EXPECT_EQ(child.output().size(), 220000u);
}

TEST(ChildProcess, CancellingKillsWhatItStartedToo) {
  ScratchFile file("child");
  const std::string note = file.path.string();
  auto child = std::make_unique<ChildProcess>(ChildProcess::Order{"/bin/sh", {"-c", "sleep 600 & echo $! > \"$0\"; wait", note}});
  pid_t grandchild = 0;
  for (int i = 0; i < 1000 && grandchild == 0; ++i) {
    std::this_thread::sleep_for(10ms);
    std::ifstream(note) >> grandchild;
  }
  ASSERT_GT(grandchild, 0);
  child->cancel();
  wait_for(*child);
  EXPECT_TRUE(child->cancelled());
  EXPECT_EQ(child->exit_code(), 128 + SIGKILL);
  child->cancel();  // nothing any more
  child.reset();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child waits to be reaped
  EXPECT_EQ(errno, ECHILD);
  for (int i = 0; i < 500 && ::kill(grandchild, 0) == 0; ++i) std::this_thread::sleep_for(10ms);
  // Whoever adopts orphans may not reap them at once: it must be gone or dead.
  std::string state;
  std::ifstream status("/proc/" + std::to_string(grandchild) + "/stat");
  for (int i = 0; i < 3; ++i) status >> state;
  EXPECT_TRUE(!status || state == "Z") << state;
}

TEST(ChildProcess, DestroyingItDoesNotWait) {
  const auto begin = std::chrono::steady_clock::now();
  { ChildProcess child({"/bin/sleep", {"600"}}); }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
}

TEST(ChildProcess, TellsOnItsThread) {
  std::atomic<int> told{0};
  ChildProcess child({"/bin/sh", {"-c", "echo a >&2"}, {}, [&] { ++told; }});
  for (int i = 0; i < 3000 && told < 2; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(told, 2);
  EXPECT_TRUE(child.done());
}

TEST(ChildProcess, SaysWhatCannotBeStarted) {
  EXPECT_THROW(ChildProcess({"/nowhere/vitrine", {}}), Error);
  EXPECT_THROW(ChildProcess({"/bin/true", {std::string("a\0b", 3)}}), Error);
}

}  // namespace
}  // namespace vitrine
