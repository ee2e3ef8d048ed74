// Every suite for a moment, as a person starts it: each row runs or says why not. No time is looked at.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <map>
#include <set>

#include "bench/suite.h"
#include "bench/machine.h"
#include "core/base/json.h"
#include "tests/experiments/tokenizing_model.h"

namespace vitrine {
namespace {

struct Answer {
  int code = -1;
  std::string out;
};

Answer run(const std::string& words) {
  std::FILE* pipe = popen((VITRINE_BENCH_PROGRAM + (" " + words)).c_str(), "r");
  Answer answer;
  char block[4096];
  for (std::size_t count; pipe && (count = std::fread(block, 1, sizeof block, pipe)) > 0;)
    answer.out.append(block, count);
  const int status = pipe ? pclose(pipe) : -1;
  answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return answer;
}

class Bench : public testing::Test {
 protected:
  std::string moment() const {
    return model.path() + " --threads 2 --prefill 32 --depths 16 --benchmark_min_time=0.0001 ";
  }
  void expect_refused(const std::string& words, int code, const std::string& said) {
    const Answer answer = run(words + " 2>&1");
    EXPECT_EQ(answer.code, code) << words;
    EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << answer.out;  // one line
    EXPECT_NE(answer.out.find(said), std::string::npos) << answer.out;
  }
  TokenizingModel model;
};

/// Long texts and many rows cost seconds and show nothing that short ones do not.
TEST_F(Bench, EveryRowOfEverySuiteRunsOrSaysWhyNot) {
  const Answer answer =
      run(moment() + "--benchmark_filter='-causal_(2048|4096)|rows_512' --benchmark_format=json 2>/dev/null");
  ASSERT_EQ(answer.code, 0);
  const Json json = parse_json(answer.out, "standard output");
  EXPECT_EQ(json["context"]["worker_threads"].string(), "2");
  EXPECT_FALSE(json["context"]["joules"].string().empty());
  std::map<std::string, std::size_t> ran;
  for (const Json& row : json["benchmarks"].items()) {
    const std::string name = row["name"].string(), suite = name.substr(0, name.find('/'));
    if (row.has("error_occurred")) {
      EXPECT_FALSE(row["error_message"].string().empty()) << name;
      // The program as it stands is right and whole: nothing else may be missing.
      const std::string reason = row["error_message"].string();
      EXPECT_TRUE(reason.find("no such instruction") != std::string::npos ||
                  reason.find("does not round") != std::string::npos)
          << name << ": " << reason;
    } else {
      EXPECT_GT(row["real_time"].number(), 0.0) << name;
      EXPECT_NE(row["label"].string().find("thread"), std::string::npos) << name;
      ++ran[suite];
    }
  }
  for (const Suite* suite : all_suites()) EXPECT_GT(ran[std::string(suite->name)], 0u) << suite->name;
  EXPECT_EQ(ran.size(), all_suites().size());
}

TEST_F(Bench, AModelThatIsTooShortIsNamed) {
  const Answer answer =
      run(model.path() + " --prefill 512 --benchmark_filter='model/.*prefill' --benchmark_format=json 2>/dev/null");
  const Json json = parse_json(answer.out, "standard output");
  ASSERT_EQ(json["benchmarks"].items().size(), precisions().size());
  EXPECT_EQ(json["benchmarks"].items()[0]["error_message"].string(), "the model's context holds 64 tokens");
}

TEST_F(Bench, RequestsAreAnsweredOneByOne) {
  const std::string path =
      model.write("requests.txt", "^machine/dot_int8\n^nothing$\n^model/[^/]*/decode_at_16/fast\n");
  const Answer answer = run(moment() + "--requests < " + path + " 2>/dev/null");
  ASSERT_EQ(answer.code, 0);
  const std::size_t nothing = answer.out.find("\n{}\n");
  ASSERT_NE(nothing, std::string::npos) << answer.out;
  EXPECT_EQ(parse_json(answer.out.substr(0, nothing), "first")["benchmarks"].items().size(), 1u);
  const Json last = parse_json(answer.out.substr(nothing + 4), "last");
  ASSERT_EQ(last["benchmarks"].items().size(), 1u);
  EXPECT_LT(last["benchmarks"].items()[0]["KL_to_exact"].number(), 1e-2);
}

TEST_F(Bench, ARunIsComparedWithAnOlderOne) {
  const std::string old = model.path() + "/old.json",
                    filter = "--benchmark_filter=quantization/F32/expand --benchmark_repetitions=3 ";
  ASSERT_EQ(run(moment() + filter + "--benchmark_out=" + old + " >/dev/null 2>&1").code, 0);
  const Answer both = run("--compare " + old + " " + old);
  EXPECT_EQ(both.code, 0);
  EXPECT_NE(both.out.find(" 1.000  ["), std::string::npos) << both.out;
  const Answer again = run(moment() + filter + "--compare " + old + " 2>/dev/null");
  EXPECT_EQ(again.code, 0);
  EXPECT_NE(again.out.find("95% interval"), std::string::npos) << again.out;
  EXPECT_EQ(again.out.find("Not the same machine"), std::string::npos) << again.out;
  const std::size_t line = again.out.rfind("quantization/F32/expand/real_time");
  EXPECT_NE(again.out.find('[', line), std::string::npos) << again.out;
}

TEST_F(Bench, MistakesAreOneLine) {
  expect_refused("--compare " + model.write("bad.json", "{"), 1, "bad.json");
  expect_refused("--compare /nowhere.json --benchmark_filter=machine", 1, "/nowhere.json");
  expect_refused("--threads 0", 2, "--threads");
  expect_refused("--simd AVX9", 2, "AVX9");
  expect_refused("--nonsense", 2, "--nonsense");
  expect_refused("/nowhere.gguf", 1, "/nowhere.gguf");
}

}  // namespace
}  // namespace vitrine
