#include "bench/first_token.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <vector>

#include "bench/loaded_model.h"
#include "bench/machine.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "kernels/kernels.h"

extern char** environ;

namespace vitrine {
namespace {

constexpr std::size_t prompt = 16, more_tokens = 32;

double nanoseconds_now() { return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count()); }

/// Pages of this process that are in memory, the mapped file's among them.
double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  file >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Standard output of a program, and whether it ended well.
std::pair<std::string, bool> output_of(std::vector<std::string> words) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {"", false};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const bool started = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments.data(), environ) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  char block[512];
  for (ssize_t count; started && (count = read(ends[0], block, sizeof block)) > 0;)
    text.append(block, static_cast<std::size_t>(count));
  close(ends[0]);
  int status = -1;
  const bool ended = started && waitpid(child, &status, 0) == child;
  return {text, ended && WIFEXITED(status) && WEXITSTATUS(status) == 0};
}

TokenId likeliest(TensorView<float, 2> logits) {
  const float* row = &logits(0, 0);
  return static_cast<TokenId>(std::max_element(row, row + logits.extent(1)) - row);
}

}  // namespace

FirstToken measure_first_token(const std::string& model) {
  const auto [text, well] =
      output_of({"vitrine-bench", model, "--threads", std::to_string(bench_pool().threads()), "--simd", simd_in_use(),
                 "--first-token", std::to_string(static_cast<long long>(nanoseconds_now()))});
  if (!well) return {.failure = "the process that opens the model failed"};
  const Json json = parse_json(text, "the first token's process");
  return {json["seconds"].number(), json["resident_bytes"].number(), ""};
}

void print_first_token(const std::string& model, const std::string& started) {
  const auto loaded = loaded_model(model);
  PassRunner runner(loaded, Precision::fast);
  KvCache cache = runner.new_cache();
  TokenId next = 0;
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::last;
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) { next = likeliest(logits); };
  const std::vector<TokenId> ids = random_ids(*loaded, prompt);
  const auto step = [&](std::span<const TokenId> rows) {
    const Segment segment{.ids = rows, .cache = &cache};
    runner.run({&segment, 1}, {}, sinks);
  };
  step(ids);
  const double seconds = (nanoseconds_now() - std::stod(started)) * 1e-9;
  for (std::size_t i = 0; i < more_tokens; ++i) {
    const TokenId id = next;
    step({&id, 1});
  }
  std::puts(Json::object().set("seconds", seconds).set("resident_bytes", resident_bytes()).dump().c_str());
}

}  // namespace vitrine
