#include "core/model/resident.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include "kernels/kernels.h"

namespace vitrine {
namespace {

std::vector<std::byte> bytes_of(const Weight& weight) { return {weight.data, weight.data + weight.bytes()}; }

TEST(Resident, MovesMatricesAndKeepsEveryBit) {
  Model model = load_model(std::filesystem::path(VITRINE_TEST_DATA) / "golden/llama_tied/model");
  std::map<WeightKey, std::vector<std::byte>> before;
  for (const auto& [key, weight] : model.weights.all()) before[key] = bytes_of(weight);
  const Weight file = model.weights.at({Role::mlp_up, 0, false});
  ASSERT_TRUE(file.owner->is_mapped());
  const std::vector<std::byte> in_file = bytes_of(file);

  ThreadPool pool(2, initialize_worker);
  make_resident(model, pool);
  for (const auto& [key, weight] : model.weights.all()) EXPECT_EQ(bytes_of(weight), before[key]) << role_name(key.role);
  EXPECT_EQ(bytes_of(file), in_file) << "what was given back must come again from the file";
  const Weight& head = model.weights.at({Role::head, -1, false});
  EXPECT_EQ(head.data, model.weights.at({Role::token_embedding, -1, false}).data) << "a tied head is stored once";

  const bool moved = !model.weights.at({Role::mlp_up, 0, false}).owner->is_mapped();
  if (!moved) GTEST_SKIP() << "this system has no huge pages to give";
  EXPECT_FALSE(head.owner->is_mapped());
  const std::byte* place = head.data;
  make_resident(model, pool);
  EXPECT_EQ(model.weights.at({Role::head, -1, false}).data, place) << "what is there already stays";
}

}  // namespace
}  // namespace vitrine
