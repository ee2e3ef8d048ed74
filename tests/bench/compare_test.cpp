#include "bench/compare.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "core/base/error.h"

namespace vitrine {
namespace {

class Compare : public testing::Test {
 protected:
  ~Compare() override { std::filesystem::remove(path_); }
  const std::filesystem::path& file(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }
  void expect_refused(const std::string& text, const std::string& words) {
    try {
      read_bench_result(file(text));
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      const std::string line = error.what();
      EXPECT_NE(line.find(words), std::string::npos) << line;
      EXPECT_NE(line.find(path_.string()), std::string::npos) << line;
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    }
  }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("vitrine_compare_" + std::to_string(getpid()) + ".json");
};

std::vector<double> times(double mean, double spread, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(mean, spread);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(normal(random));
  return values;
}

TEST_F(Compare, ReadsRepetitionsAndLeavesOutAggregatesAndFailures) {
  const BenchResult result =
      read_bench_result(file(R"({"context": {"instruction_set": "AVX2", "worker_threads": "2"}, "benchmarks": [
      {"name": "a", "run_type": "iteration", "real_time": 2.0, "time_unit": "ms"},
      {"name": "a", "run_type": "iteration", "real_time": 4000, "time_unit": "us"},
      {"name": "a_median", "run_type": "aggregate", "real_time": 3.0, "time_unit": "ms"},
      {"name": "b", "run_type": "iteration", "error_occurred": true, "error_message": "no", "real_time": 0, "time_unit": "ns"}]})"));
  ASSERT_EQ(result.rows.size(), 1u);
  EXPECT_EQ(result.rows.at("a"), (std::vector<double>{2e-3, 4e-3}));
  EXPECT_EQ(result.machine, bench_machine("AVX2", "2"));
}

TEST_F(Compare, ABadFileIsOneLine) {
  expect_refused("", "");
  expect_refused("{\"benchmarks\": [", "");
  expect_refused("[]", "no list");
  expect_refused(R"({"benchmarks": 3})", "no list");
  expect_refused(R"({"benchmarks": []})", "no row with a time");
  expect_refused(R"({"benchmarks": [7]})", "a row without a name");
  expect_refused(R"({"benchmarks": [{"name": "a", "real_time": 1}]})", "without a time");
  expect_refused(R"({"benchmarks": [{"name": "a", "real_time": -1, "time_unit": "ms"}]})", "without a time");
  expect_refused(R"({"benchmarks": [{"name": "a", "real_time": "1", "time_unit": "ms"}]})", "without a time");
  expect_refused(R"({"benchmarks": [{"name": "a", "real_time": 1, "time_unit": "days"}]})", "without a time");
  EXPECT_THROW(read_bench_result("/nowhere/result.json"), Error);
  EXPECT_THROW(read_bench_result("/"), Error);
}

TEST_F(Compare, TheIntervalHoldsTheTrueRatio) {
  std::size_t held = 0;
  constexpr unsigned runs = 100;
  for (unsigned run = 0; run < runs; ++run) {
    const TimeRatio ratio = time_ratio(times(1.0, 0.05, 15, run), times(1.2, 0.05, 15, 1000 + run));
    ASSERT_TRUE(ratio.known);
    ASSERT_LE(ratio.low, ratio.value);
    ASSERT_GE(ratio.high, ratio.value);
    held += ratio.low <= 1.2 && 1.2 <= ratio.high ? 1 : 0;
  }
  EXPECT_GE(held, 88u);
}

TEST_F(Compare, OneRepetitionHasNoInterval) {
  const TimeRatio ratio = time_ratio({2.0}, {3.0, 3.0});
  EXPECT_FALSE(ratio.known);
  EXPECT_DOUBLE_EQ(ratio.value, 1.5);
}

TEST_F(Compare, RowsAreFlaggedWhereTheIntervalExcludesOne) {
  const BenchResult before{"x",
                           {{"same", {1.0, 1.1, 0.9}},
                            {"slow", {1.0, 1.01, 0.99}},
                            {"quick", {1.0, 1.01, 0.99}},
                            {"single", {1.0}},
                            {"gone", {1.0}}}};
  const BenchResult after{"y",
                          {{"same", {1.0, 1.1, 0.9}},
                           {"slow", {2.0, 2.01, 1.99}},
                           {"quick", {0.5, 0.51, 0.49}},
                           {"single", {1.0}},
                           {"new", {1.0}}}};
  const std::string text = comparison(before, after);
  const auto line = [&](const std::string& name) {
    const std::size_t at = text.find("\n" + name);
    return at == std::string::npos ? "" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  };
  EXPECT_TRUE(line("slow").ends_with("slower")) << text;
  EXPECT_TRUE(line("quick").ends_with("faster")) << text;
  EXPECT_TRUE(line("same").ends_with("]")) << text;
  EXPECT_NE(line("single").find("unknown: one repetition"), std::string::npos) << text;
  EXPECT_NE(text.find("only before: gone\n"), std::string::npos) << text;
  EXPECT_NE(text.find("only after: new\n"), std::string::npos) << text;
  EXPECT_NE(text.find("Not the same machine"), std::string::npos) << text;
  EXPECT_EQ(comparison(before, before).find("Not the same machine"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
