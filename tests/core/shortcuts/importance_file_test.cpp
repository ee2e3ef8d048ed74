// Files of llama-imatrix: a pair of tensors a matrix, as llama.cpp's tools/imatrix writes them.
#include "core/shortcuts/importance_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "core/base/error.h"
#include "core/checkpoint/gguf_writer.h"
#include "core/model/architecture.h"
#include "tests/core/shortcuts/shortcut_harness.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

class ImportanceFiles : public testing::Test {
 protected:
  void TearDown() override { fs::remove(path_); }

  /// Tensors by name, all of F32 and one row.
  void write(const std::map<std::string, std::vector<float>>& tensors) const {
    GgufMetadata metadata;
    metadata.set("general.type", std::string("imatrix"));
    std::vector<TensorToWrite> list;
    for (const auto& [name, numbers] : tensors) {
      list.push_back({.name = name, .shape = {numbers.size()}, .make = [&numbers] { return Weight{DType::f32, 1, numbers.size(), reinterpret_cast<const std::byte*>(numbers.data()), nullptr}; }});
    }
    vitrine::Run run;
    write_gguf(path_, metadata, list, run);
  }
  std::string name_of(const WeightKey& key) const { return architecture_of(*model_.checkpoint).tensor(*model_.checkpoint, model_.spec, key).name; }

  Model model_ = load_model(golden_folder() / "llama" / "model.gguf");
  WeightKey query_{Role::attn_q, 0, false, model_.spec.stack}, down_{Role::mlp_down, 1, false, model_.spec.stack};
  fs::path path_ = fs::temp_directory_path() / ("vitrine_imatrix_" + std::to_string(getpid()) + ".gguf");
};

TEST_F(ImportanceFiles, SayMeanSquaresOfTheMatricesThatTheyKnow) {
  std::vector<float> sums(model_.weights.at(query_).cols);
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<float>(i);
  write({{name_of(query_) + ".in_sum2", sums}, {name_of(query_) + ".counts", {4.0f}}, {name_of(down_) + ".in_sum2", std::vector<float>(model_.weights.at(down_).cols, 1.0f)},
         {name_of(down_) + ".counts", {0.0f}}, {"output.weight.in_sum2", {1.0f}}, {"output.weight.counts", {1.0f}}});
  const StatisticsOf found = read_importance(path_, model_);
  ASSERT_EQ(found.size(), 1u);  // no token came to the other one
  const std::vector<float> importance = importance_of(found.at(query_).get());
  ASSERT_EQ(importance.size(), sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_FLOAT_EQ(importance[i], static_cast<float>(i) / 4.0f);
}

TEST_F(ImportanceFiles, OfStrangersAreRefused) {
  const std::string name = name_of(query_);
  const std::size_t cols = model_.weights.at(query_).cols;
  const std::vector<float> good(cols, 1.0f), nan(cols, std::numeric_limits<float>::quiet_NaN());
  const std::vector<std::map<std::string, std::vector<float>>> files{
      {{name + ".in_sum2", {1.0f, 2.0f}}, {name + ".counts", {1.0f}}},
      {{name + ".in_sum2", good}},
      {{name + ".in_sum2", good}, {name + ".counts", {-1.0f}}},
      {{name + ".in_sum2", nan}, {name + ".counts", {1.0f}}},
      {{"blk.99.attn_q.weight.in_sum2", good}, {"blk.99.attn_q.weight.counts", {1.0f}}}};
  for (const auto& file : files) {
    write(file);
    EXPECT_THROW(read_importance(path_, model_), Error) << file.begin()->first;
  }
  EXPECT_THROW(read_importance(golden_folder() / "llama" / "model.gguf", model_), Error);
  EXPECT_THROW(read_importance(path_, load_model(golden_folder() / "llama" / "model")), Error);
}

TEST_F(ImportanceFiles, WeighTheErrorsOfBlocks) {
  write({{name_of(query_) + ".in_sum2", std::vector<float>(model_.weights.at(query_).cols, 1.0f)}, {name_of(query_) + ".counts", {2.0f}}});
  ShortcutHarness harness;
  Model changed = model_;
  const ShortcutReport report = harness.apply(changed, "quantize:type=Q8_0,matrix=" + path_.string());
  EXPECT_TRUE(std::ranges::any_of(report.notes, [](const std::string& note) { return note.starts_with("errors were weighed by the file's mean squares for 1 of "); }));
  EXPECT_THROW(harness.apply(changed, "quantize:type=Q4_0,importance=yes,matrix=" + path_.string()), Error);
}

}  // namespace
}  // namespace vitrine
