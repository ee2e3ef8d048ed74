#include "viewer/data/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

#include "core/base/error.h"

extern char** environ;

namespace vitrine {
namespace {

constexpr std::size_t most_output = 64u << 20, longest_line = 4096;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw Error({"a pipe to another program", "", std::strerror(errno), ""});
    read = ends[0], write = ends[1];
  }
  ~Pipe() {
    if (read >= 0) ::close(read);
    if (write >= 0) ::close(write);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int take() { return std::exchange(read, -1); }
};

/// File actions and attributes of posix_spawn, freed in the end.
struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings(const Pipe& output, const Pipe& errors) {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output.write, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors.write, STDERR_FILENO);
    posix_spawnattr_setpgroup(&attributes, 0);  // a group of its own, so that what it starts dies with it
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Ours, with what the order adds in place of what has the same name.
std::vector<std::string> environment_of(const ChildProcess::Order& order) {
  std::vector<std::string> texts;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text(*each);
    const bool replaced = std::ranges::any_of(order.environment, [&](const auto& pair) { return text.starts_with(pair.first + "="); });
    if (!replaced) texts.emplace_back(text);
  }
  for (const auto& [name, value] : order.environment) texts.push_back(name + "=" + value);
  return texts;
}

}  // namespace

std::filesystem::path program_beside(std::string_view name) {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / name;
}

ChildProcess::ChildProcess(const Order& order) : told_(order.told) {
  Pipe output, errors;
  const SpawnSettings settings(output, errors);
  std::vector<std::string> words{order.program.string()}, environment = environment_of(order);
  words.insert(words.end(), order.words.begin(), order.words.end());
  const auto zero = std::ranges::find_if(words, [](const std::string& word) { return word.find('\0') != std::string::npos; });
  if (zero != words.end()) throw Error({"an argument of " + order.program.filename().string(), "text without zero bytes", quoted(*zero), ""});
  const int failure = ::posix_spawn(&pid_, order.program.c_str(), &settings.actions, &settings.attributes, pointers_to(words).data(), pointers_to(environment).data());
  if (failure != 0) throw Error({order.program.string(), "a program that can be started", std::strerror(failure), "it lies beside vitrine-viewer where both were built or installed"});
  reader_ = std::thread([this, out = output.take(), err = errors.take()] { listen(out, err); });
}

ChildProcess::~ChildProcess() {
  cancel();
  reader_.join();
}

void ChildProcess::cancel() {
  const std::lock_guard lock(mutex_);
  if (reaped_) return;
  cancelled_.store(true, std::memory_order_relaxed);
  ::kill(-pid_, SIGKILL);
}

std::string ChildProcess::last_words() const {
  const std::lock_guard lock(mutex_);
  return line_.empty() ? last_line_ : line_;
}

void ChildProcess::hear(const char* bytes, std::size_t count) {
  const std::lock_guard lock(mutex_);
  for (const char byte : std::string_view(bytes, count)) {
    if (byte != '\n' && byte != '\r') {
      if (line_.size() < longest_line) line_ += byte;
    } else if (!line_.empty()) {
      last_line_ = std::exchange(line_, {});
    }
  }
}

/// Waits until the program is over; between that and its reaping nobody may kill it: its number may be another's then.
void ChildProcess::reap() {
  siginfo_t over{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &over, WEXITED | WNOWAIT) != 0 && errno == EINTR) {}
  const std::lock_guard lock(mutex_);
  ::kill(-pid_, SIGKILL);  // what it started and left behind
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  reaped_ = true;
}

void ChildProcess::listen(int output, int errors) {
  std::array<pollfd, 2> ends{pollfd{output, POLLIN, 0}, pollfd{errors, POLLIN, 0}};
  std::array<char, 65536> bytes;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (::poll(ends.data(), ends.size(), -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    for (pollfd& end : ends) {
      if (end.fd < 0 || (end.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      const ssize_t count = ::read(end.fd, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        ::close(std::exchange(end.fd, -1));
      } else if (&end == &ends[0]) {
        output_.append(bytes.data(), std::min(static_cast<std::size_t>(count), most_output - output_.size()));
      } else {
        hear(bytes.data(), static_cast<std::size_t>(count));
        if (told_) told_();
      }
    }
  }
  for (const pollfd& end : ends) {
    if (end.fd >= 0) ::close(end.fd);
  }
  reap();
  done_.store(true, std::memory_order_release);
  if (told_) told_();
}

}  // namespace vitrine
