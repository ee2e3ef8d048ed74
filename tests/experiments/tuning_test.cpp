#include "experiments/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "kernels/kernels.h"

namespace vitrine {
namespace {

using testing::HasSubstr;

class Tuning : public testing::Test {
 protected:
  Tuning() : folder_(std::filesystem::temp_directory_path() / ("vitrine_tuning_" + std::to_string(getpid()))) {
    setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  }
  ~Tuning() override { std::filesystem::remove_all(folder_); }

  /// Every shape with the same times.
  static TuningTable table_with(const std::map<std::string, double>& seconds) {
    TuningTable table{tuning_key(2), shapes_to_tune()};
    for (TunedShape& place : table.shapes) place.seconds = seconds;
    return table;
  }
  void expect_ignored(const std::string& text, const std::string& words) const {
    std::ofstream(tuning_path(tuning_key(2))) << text;
    const TunedChoice chosen = choose_tuned_kernel("auto", {64, DType::f32, Precision::exact}, 2);
    EXPECT_EQ(chosen.choice.kernel->name, "flash");
    EXPECT_THAT(chosen.reason, HasSubstr("the default"));
    EXPECT_THAT(chosen.complaint, HasSubstr(words)) << text;
    EXPECT_EQ(chosen.complaint.find('\n'), std::string::npos);
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(Tuning, OnlyKernelsThatMayReplaceEachOtherAreTuned) {
  std::vector<std::string> names;
  for (const AttentionKernel* kernel : auto_kernels(Precision::fast)) names.emplace_back(kernel->name);
  EXPECT_THAT(names, testing::IsSupersetOf({"flash", "online_softmax", "reference"}));
  for (const char* other : {"check", "gemm", "linear", "performer", "sliding_window", "streaming"})
    EXPECT_THAT(names, testing::Not(testing::Contains(other)));
}

TEST_F(Tuning, EveryExactKernelIsTimed) {
  ThreadPool pool(2, initialize_worker);
  vitrine::Run run;
  const TuningTable table =
      tune({{"prompt", {4, 2, 16, 9, 9, DType::f32}, {}}, {"single", {4, 2, 16, 1, 33, DType::f16}, {}}}, pool, run);
  ASSERT_EQ(table.shapes.size(), 2u);
  for (const TunedShape& place : table.shapes) {
    ASSERT_EQ(place.seconds.size(), auto_kernels(Precision::fast).size());
    for (const auto& [kernel, seconds] : place.seconds) EXPECT_GT(seconds, 0.0) << kernel;
  }
  EXPECT_EQ(table.key, tuning_key(2));
}

TEST_F(Tuning, TheFastestOfTheNearestHeadSizeAndTypeIsTaken) {
  TuningTable table = table_with({{"flash", 1.0}, {"online_softmax", 2.0}});
  EXPECT_EQ(fastest_kernel(table, {64, DType::f32, Precision::exact}), "flash");
  for (TunedShape& place : table.shapes) {
    if (place.shape.head_dim == 128 && place.shape.kv == DType::f16) place.seconds["online_softmax"] = 0.5;
  }
  EXPECT_EQ(fastest_kernel(table, {64, DType::f16, Precision::exact}), "flash");
  EXPECT_EQ(fastest_kernel(table, {128, DType::f32, Precision::exact}), "flash");
  EXPECT_EQ(fastest_kernel(table, {256, DType::f16, Precision::exact}), "online_softmax");
}

TEST_F(Tuning, OneKernelServesPromptsAndSingleQueries) {
  TuningTable table = table_with({{"flash", 1.0}, {"online_softmax", 1.0}});
  for (TunedShape& place : table.shapes) place.seconds["online_softmax"] = place.shape.q_len > 1 ? 1.5 : 0.9;
  EXPECT_EQ(fastest_kernel(table, {64, DType::f32, Precision::exact}), "flash");
  for (TunedShape& place : table.shapes) place.seconds["online_softmax"] = place.shape.q_len > 1 ? 1.5 : 0.5;
  EXPECT_EQ(fastest_kernel(table, {64, DType::f32, Precision::exact}), "online_softmax");
}

TEST_F(Tuning, AKernelWithoutAllTimesOrThatIsNotExactIsNotTaken) {
  TuningTable table = table_with({{"flash", 1.0}, {"online_softmax", 0.1}, {"linear", 0.01}, {"nonsense", 0.01}});
  table.shapes.front().seconds.erase("online_softmax");
  EXPECT_EQ(fastest_kernel(table, {32, DType::f32, Precision::exact}), "flash");
  EXPECT_EQ(fastest_kernel(table_with({}), {32, DType::f32, Precision::exact}), "");
}

TEST_F(Tuning, ATableIsKeptForItsKeyOnly) {
  write_tuning(table_with({{"flash", 1.0}, {"online_softmax", 0.25}, {"reference", 3.0}}));
  std::string complaint;
  const auto table = read_tuning(tuning_key(2), complaint);
  ASSERT_TRUE(table) << complaint;
  EXPECT_EQ(to_json(*table).dump(),
            to_json(table_with({{"flash", 1.0}, {"online_softmax", 0.25}, {"reference", 3.0}})).dump());
  EXPECT_FALSE(read_tuning(tuning_key(1), complaint));
  EXPECT_EQ(complaint, "");
  EXPECT_EQ(choose_tuned_kernel("auto", {64, DType::f32, Precision::exact}, 2).choice.kernel->name, "online_softmax");
  EXPECT_EQ(choose_tuned_kernel("auto", {64, DType::f32, Precision::exact}, 1).choice.kernel->name, "flash");
  const TunedChoice named = choose_tuned_kernel("reference", {64, DType::f32, Precision::exact}, 2);
  EXPECT_EQ(named.choice.kernel->name, "reference");
  EXPECT_EQ(named.reason, "");
}

TEST_F(Tuning, DamagedAndForeignTablesAreIgnoredInOneLine) {
  TuningTable table = table_with({{"flash", 1.0}, {"online_softmax", 0.1}});
  write_tuning(table);
  const std::string good = to_json(table).dump();
  expect_ignored("", "damaged");
  expect_ignored(good.substr(0, good.size() / 2), "damaged");
  expect_ignored("[]", "damaged");
  expect_ignored(R"({"format": 2})", "damaged");
  table.shapes.front().seconds["flash"] = -1.0;
  expect_ignored(to_json(table).dump(), "damaged");
  table.shapes.pop_back();
  expect_ignored(to_json(table).dump(), "damaged");
  table = table_with({{"flash", 1.0}, {"online_softmax", 0.1}});
  table.key.cpu = "Another CPU\n";
  expect_ignored(to_json(table).dump(), "found those of 'Another CPU\\x0a'");
}

}  // namespace
}  // namespace vitrine
