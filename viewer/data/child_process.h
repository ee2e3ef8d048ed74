#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace vitrine {

/// A program that runs beside this one: no shell between them, no input, what it writes is read by a thread of our own. Destroying it kills
/// it and everything that it started; nothing is left behind that waits to be reaped. All functions may be called from any thread.
class ChildProcess {
 public:
  struct Order {
    std::filesystem::path program;
    std::vector<std::string> words;                                   ///< its arguments, as they are
    std::vector<std::pair<std::string, std::string>> environment{};   ///< besides ours
    std::function<void()> told{};                                     ///< called on the reading thread when something was said, and at the end
  };
  /// @throws Error where the program cannot be started
  explicit ChildProcess(const Order& order);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Kills it; done() follows. Nothing where it is over.
  void cancel();
  bool done() const { return done_.load(std::memory_order_acquire); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  /// Once it is done: its exit code, or 128 and the signal that ended it.
  int exit_code() const { return exit_code_; }
  /// The last line on its standard error so far, without what a carriage return has overwritten: how far it is, or why it failed.
  std::string last_words() const;
  /// Once it is done: its standard output, of which 64 MB at most are kept.
  const std::string& output() const { return output_; }

 private:
  void listen(int output, int errors);
  void hear(const char* bytes, std::size_t count);
  void reap();

  pid_t pid_ = -1;
  mutable std::mutex mutex_;  // of what follows it
  std::string line_, last_line_;
  bool reaped_ = false;
  std::string output_;        // the reading thread's until done_
  int exit_code_ = -1;
  std::atomic<bool> done_{false}, cancelled_{false};
  std::function<void()> told_;
  std::thread reader_;  // the last member: everything else is there when it starts
};

/// A program of the project, which lies in the folder of this one.
std::filesystem::path program_beside(std::string_view name);

}  // namespace vitrine
