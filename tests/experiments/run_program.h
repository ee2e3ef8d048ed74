#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace vitrine {

/// What a command of the shell printed, on both streams, and its exit code.
struct Answer {
  int code = -1;
  std::string out;
};

inline Answer run(const std::string& command) {
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  Answer answer;
  for (int c; pipe && (c = std::fgetc(pipe)) != EOF;) answer.out += static_cast<char>(c);
  const int status = pipe ? pclose(pipe) : -1;
  answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return answer;
}

}  // namespace vitrine
