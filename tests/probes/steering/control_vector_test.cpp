#include "probes/steering/control_vector.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "core/base/error.h"

namespace vitrine {
namespace {

const std::filesystem::path made_by_python = std::filesystem::path(VITRINE_TEST_DATA) / "probes" / "steering" / "python.gguf";  // make_control_vector.py

class ControlVectorFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::string refusal(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      read_control_vector(path_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / ("control_" + std::to_string(::getpid()) + ".gguf");
};

TEST_F(ControlVectorFile, ReadsWhatThePythonPackageWrote) {
  const ControlVector vector = read_control_vector(made_by_python);
  EXPECT_EQ(vector.model_hint, "llama");
  ASSERT_EQ(vector.directions.size(), 3u);
  for (const std::size_t block : {1u, 2u, 11u}) {
    ASSERT_TRUE(vector.directions.contains(block)) << block;
    const std::vector<float>& direction = vector.directions.at(block);
    ASSERT_EQ(direction.size(), 5u);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_FLOAT_EQ(direction[i], (static_cast<float>(i) - 2.0f) * static_cast<float>(block) / 4.0f);
  }
}

TEST_F(ControlVectorFile, ComesBackAsItWasWritten) {
  const ControlVector vector{"gpt2", {{3, {1.5f, -2.0f, 1e-30f}}, {1, {0.0f, 7.0f, 3e30f}}}};
  write_control_vector(vector, path_);
  const ControlVector again = read_control_vector(path_);
  EXPECT_EQ(again.model_hint, vector.model_hint);
  EXPECT_EQ(again.directions, vector.directions);
}

TEST_F(ControlVectorFile, RefusesWhatIsNone) {
  std::ifstream file(made_by_python, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(refusal("GGUF"), "");
  std::string renamed = bytes;
  renamed.replace(renamed.find("controlvector"), 13, "controlvictor");
  EXPECT_NE(refusal(renamed).find("controlvector"), std::string::npos);
  std::string zero = bytes;
  zero.replace(zero.find("direction.1"), 11, "direction.0");
  EXPECT_NE(refusal(zero).find("direction.1"), std::string::npos);
  EXPECT_NE(refusal(bytes.substr(0, bytes.size() - 40)), "");
  EXPECT_THROW(write_control_vector({"", {{0, {1.0f}}}}, path_), Error);
  EXPECT_THROW(write_control_vector({"", {}}, path_), Error);
  EXPECT_THROW(write_control_vector({"", {{1, {1.0f}}}}, "/no/such/folder/x.gguf"), Error);
}

}  // namespace
}  // namespace vitrine
