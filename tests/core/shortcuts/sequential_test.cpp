#include "core/shortcuts/sequential.h"

#include <gtest/gtest.h>

#include "tests/core/shortcuts/shortcut_harness.h"

// Calibration block by block must see what a pass of the whole model sees.

namespace vitrine {
namespace {

StatisticsOf of_whole(ShortcutHarness& harness, const Model& model, std::span<const ModelText> texts) {
  const std::vector<WeightKey> keys = block_matrices(model);
  return input_statistics(harness.bench(texts).runner(model), texts, {keys.begin(), keys.end()}, Statistics::gram);
}

void expect_same(const InputStatistics& a, const InputStatistics& b, const std::string& where) {
  EXPECT_EQ(a.rows, b.rows) << where;
  EXPECT_EQ(a.square_sums, b.square_sums) << where;
  EXPECT_EQ(a.magnitude_sums, b.magnitude_sums) << where;
  EXPECT_EQ(a.gram.numbers, b.gram.numbers) << where;
}

class EveryModel : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(EveryModel, SeesWhatTheWholeModelSees) {
  ShortcutHarness harness;
  Model model = load_model(GetParam());
  const std::vector<ModelText> texts = random_texts(model.spec, 3, 13);
  const StatisticsOf whole = of_whole(harness, model, texts);
  std::set<WeightKey> changed;
  change_block_by_block(model, harness.bench(texts), Statistics::gram, [&](std::span<const WeightKey> keys, const StatisticsOf& found) {
    for (const WeightKey& key : keys) {
      EXPECT_TRUE(changed.insert(key).second) << matrix_name(key);
      ASSERT_EQ(found.contains(key), whole.contains(key)) << matrix_name(key);
      if (found.contains(key)) expect_same(*found.at(key), *whole.at(key), matrix_name(key));
    }
  });
  EXPECT_EQ(changed.size(), block_matrices(model).size());
}

/// What enters a block is what the changed blocks before it put out.
TEST_P(EveryModel, SeesWhatTheChangedBlocksPutOut) {
  ShortcutHarness harness;
  Model model = load_model(GetParam());
  const std::vector<ModelText> texts = random_texts(model.spec, 3, 13);
  StatisticsOf seen;
  change_block_by_block(model, harness.bench(texts), Statistics::gram, [&](std::span<const WeightKey> keys, const StatisticsOf& found) {
    seen.insert(found.begin(), found.end());
    for (const WeightKey& key : keys) {
      const Tensor before = expand(model.weights.at(key));
      Tensor numbers = copy_of(before);
      for (float& number : numbers.floats()) number *= 0.75f;
      ShortcutReport report;
      put_numbers(model, key, numbers, {"smaller", before}, report);
    }
  });
  const StatisticsOf whole = of_whole(harness, model, texts);
  std::ptrdiff_t compared = 0;
  const auto first_in_block = [](const WeightKey& key) { return key.role == Role::attn_q || key.role == Role::cross_k; };
  for (const auto& [key, statistics] : seen) {
    if (!first_in_block(key)) continue;
    expect_same(*statistics, *whole.at(key), matrix_name(key));
    ++compared;
  }
  EXPECT_EQ(compared, std::ranges::count_if(block_matrices(model), first_in_block));
}

INSTANTIATE_TEST_SUITE_P(Golden, EveryModel, testing::ValuesIn(golden_models()), [](const auto& info) {
  std::string name = golden_name(info.param);
  std::ranges::replace(name, '/', '_');
  return name;
});

}  // namespace
}  // namespace vitrine
