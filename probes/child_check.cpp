#include "probes/child_check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr unsigned longest_seconds = 20;
constexpr int said_no = 0, failed = 1, said_yes = 2;  // exit codes

/// The child: tells the pipe what is wrong, and leaves without running anybody's destructors.
[[noreturn]] void run_child(int pipe, const std::function<bool()>& question) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM, SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  alarm(longest_seconds);
  const int quiet = open("/dev/null", O_WRONLY);
  if (quiet >= 0) dup2(quiet, STDERR_FILENO);
  std::string message;
  try {
    _exit(question() ? said_yes : said_no);
  } catch (const std::exception& error) {
    message = error.what();
  }
  [[maybe_unused]] const ssize_t written = write(pipe, message.data(), std::min<std::size_t>(message.size(), 4096));
  _exit(failed);
}

std::string read_all(int pipe) {
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(pipe, buffer, sizeof buffer)) != 0;) {
    if (count < 0 && errno != EINTR) break;
    if (count > 0) text.append(buffer, static_cast<std::size_t>(count));
  }
  return text;
}

/// An Error whose line was already made.
class ChildError : public Error {
 public:
  explicit ChildError(const std::string& line) : Error({line, "", "", ""}) {}
};

}  // namespace

bool ask_child(const std::string& path, const std::function<bool()>& question) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error({path, "a pipe to a child process", std::strerror(errno), ""});
  const pid_t child = fork();
  if (child == 0) run_child(ends[1], question);
  close(ends[1]);
  const std::string message = child > 0 ? read_all(ends[0]) : "";
  close(ends[0]);
  if (child < 0) throw Error({path, "a child process to look into the file", std::strerror(errno), ""});
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && (WEXITSTATUS(status) == said_no || WEXITSTATUS(status) == said_yes)) return WEXITSTATUS(status) == said_yes;
  if (!message.empty()) throw ChildError(message);
  const std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status));
  throw Error({path, "a readable recording", "a file that the HDF5 library falls over (" + how + ")", "it is damaged; record anew"});
}

void check_in_child(const std::string& path, const std::function<void()>& check) {
  ask_child(path, [&] {
    check();
    return true;
  });
}

}  // namespace vitrine
