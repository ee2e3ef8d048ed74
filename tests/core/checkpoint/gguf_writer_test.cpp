#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/gguf_writer.h"
#include "core/checkpoint/safetensors_writer.h"
#include "tests/core/checkpoint/scratch_file.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::string bytes_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

template <typename T>
void append(std::string& bytes, T number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}
void append_text(std::string& bytes, std::string_view text) {
  append(bytes, std::uint64_t{text.size()});
  bytes += text;
}

/// f32 numbers from `first` on.
TensorToWrite counted(std::string name, std::vector<std::size_t> shape, float first) {
  std::size_t count = 1;
  for (const std::size_t extent : shape) count *= extent;
  return {.name = std::move(name), .type = DType::f32, .shape = std::move(shape), .make = [count, first] {
            Tensor tensor(DType::f32, {count});
            for (std::size_t i = 0; i < count; ++i) tensor.floats()[i] = first + static_cast<float>(i);
            return make_weight(std::move(tensor));
          }};
}

class Writers : public testing::Test {
 protected:
  fs::path place(const char* name) const { return file_.folder() / name; }
  /// What stands in the folder.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(file_.folder())) found.push_back(entry.path().filename().string());
    return found;
  }
  ScratchFile file_{"unused"};
  vitrine::Run run_;
};

// The bytes by hand, as ggml's docs/gguf.md has them: header, pairs, tensor entries, zeros up to 32, numbers.
TEST_F(Writers, GgufBytesAreThoseOfTheFormat) {
  GgufMetadata metadata;
  metadata.set("a", std::uint32_t{7});
  metadata.set("b", std::vector<std::string>{"x", "yz"});
  const std::vector<TensorToWrite> tensors{counted("t", {2, 3}, 1.0f), counted("u", {1}, 9.0f)};
  write_gguf(place("f.gguf"), metadata, tensors, run_);
  std::string expected = "GGUF";
  append(expected, std::uint32_t{3});
  append(expected, std::uint64_t{2});
  append(expected, std::uint64_t{2});
  append_text(expected, "a");
  append(expected, std::uint32_t{4});
  append(expected, std::uint32_t{7});
  append_text(expected, "b");
  append(expected, std::uint32_t{9});
  append(expected, std::uint32_t{8});
  append(expected, std::uint64_t{2});
  append_text(expected, "x");
  append_text(expected, "yz");
  append_text(expected, "t");
  append(expected, std::uint32_t{2});
  append(expected, std::uint64_t{3});  // fastest axis first
  append(expected, std::uint64_t{2});
  append(expected, std::uint32_t{0});
  append(expected, std::uint64_t{0});
  append_text(expected, "u");
  append(expected, std::uint32_t{1});
  append(expected, std::uint64_t{1});
  append(expected, std::uint32_t{0});
  append(expected, std::uint64_t{32});
  expected.resize((expected.size() + 31) / 32 * 32);
  for (float number = 1.0f; number <= 6.0f; ++number) append(expected, number);
  expected.resize((expected.size() + 31) / 32 * 32);
  append(expected, 9.0f);
  expected.resize((expected.size() + 31) / 32 * 32);
  EXPECT_EQ(bytes_of_file(place("f.gguf")), expected);
}

TEST_F(Writers, EveryTypeOfValueSurvivesACopy) {
  GgufMetadata metadata;
  metadata.set("u8", std::uint8_t{200});
  metadata.set("i8", std::int8_t{-3});
  metadata.set("u16", std::uint16_t{60000});
  metadata.set("i16", std::int16_t{-300});
  metadata.set("u32", std::uint32_t{4000000000u});
  metadata.set("i32", std::int32_t{-5});
  metadata.set("f32", 0.1f);
  metadata.set("bool", true);
  metadata.set("text", std::string("not UTF-8: \xff"));
  metadata.set("u64", std::uint64_t{18446744073709551615u});  // beyond what JSON keeps
  metadata.set("i64", std::int64_t{-6});
  metadata.set("f64", 0.1);
  metadata.set("bools", std::vector<bool>{true, false});
  metadata.set("floats", std::vector<float>{0.5f, -1e30f});
  metadata.set("bytes", std::vector<std::int8_t>{-128, 0, 127});
  const std::vector<TensorToWrite> tensors{counted("t", {4}, 0.0f)};
  write_gguf(place("a.gguf"), metadata, tensors, run_);
  const Checkpoint read = open_checkpoint(place("a.gguf"));
  EXPECT_EQ(read.metadata["u32"].integer(), 4000000000);
  EXPECT_EQ(read.metadata["i8"].integer(), -3);
  EXPECT_EQ(read.metadata["f32"].number(), static_cast<double>(0.1f));
  write_gguf(place("b.gguf"), GgufMetadata(read.raw_metadata), tensors, run_);
  EXPECT_EQ(bytes_of_file(place("a.gguf")), bytes_of_file(place("b.gguf")));
}

TEST_F(Writers, TensorsStandWhereTheAlignmentSays) {
  GgufMetadata metadata;
  metadata.set("general.alignment", std::uint32_t{256});
  const std::vector<TensorToWrite> tensors{counted("one", {3}, 1.0f), counted("two", {65}, 2.0f), counted("three", {1}, 3.0f)};
  write_gguf(place("a.gguf"), metadata, tensors, run_);
  const Checkpoint read = open_checkpoint(place("a.gguf"));
  const std::byte* first = read.find("one")->weight.data;
  EXPECT_EQ((read.find("two")->weight.data - first) % 256, 0);
  EXPECT_EQ(read.find("three")->weight.data - first, 768);
  EXPECT_EQ(expand(read.find("two")->weight).floats()[64], 66.0f);
}

std::string complaint(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

TEST_F(Writers, RefuseWhatTheFormatDoesNotHold) {
  const auto of = [&](TensorToWrite tensor) {
    const std::vector<TensorToWrite> tensors{std::move(tensor)};
    return complaint([&] { write_gguf(place("a.gguf"), {}, tensors, run_); });
  };
  EXPECT_NE(of(counted(std::string(64, 'n'), {1}, 0.0f)).find("1 to 63 bytes"), std::string::npos);
  EXPECT_NE(of(counted("t", {1, 1, 1, 1, 1}, 0.0f)).find("at most 4 axes"), std::string::npos);
  TensorToWrite narrow = counted("t", {2, 33}, 0.0f);
  narrow.type = DType::q8_0;
  EXPECT_NE(of(narrow).find("rows of a multiple of 32 numbers for Q8_0, found 33"), std::string::npos);
  narrow.shape = {2, 32};
  EXPECT_NE(complaint([&] {
              const std::vector<TensorToWrite> tensors{narrow};
              write_safetensors(place("a.safetensors"), tensors, {}, run_);
            }).find("a type that safetensors holds, found Q8_0"), std::string::npos);
  EXPECT_TRUE(names().empty());
}

TEST_F(Writers, ACancelledFileIsNotThere) {
  const std::vector<TensorToWrite> tensors{counted("one", {1000}, 1.0f), counted("two", {1000}, 2.0f)};
  vitrine::Run stopped([&](std::string_view, std::size_t done, std::size_t) {
    if (done > 0) stopped.cancel();
  });
  EXPECT_THROW(write_gguf(place("a.gguf"), {}, tensors, stopped), Cancelled);
  EXPECT_TRUE(names().empty());
}

TEST_F(Writers, AFullDiskIsOneLineAndLeavesNothing) {
  const std::vector<TensorToWrite> tensors{counted("one", {100000}, 1.0f)};
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string said = complaint([&] { write_gguf(place("a.gguf"), {}, tensors, run_); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(said.find("a.gguf: expected to write the file to its end, found File too large"), std::string::npos) << said;
  EXPECT_TRUE(names().empty());
}

TEST_F(Writers, AFileWithoutRoomIsRefusedBefore) {
  TensorToWrite huge = counted("huge", {1}, 0.0f);
  huge.shape = {std::size_t{1} << 28, std::size_t{1} << 28};
  const std::vector<TensorToWrite> tensors{huge};
  const std::string said = complaint([&] { write_gguf(place("a.gguf"), {}, tensors, run_); });
  EXPECT_NE(said.find("bytes on the disk"), std::string::npos) << said;
  EXPECT_TRUE(names().empty());
}

// Killed in the middle: whatever is left, it is not under the name.
TEST_F(Writers, AKilledWriterLeavesNothingUnderTheName) {
  const std::vector<TensorToWrite> tensors{counted("one", {1000}, 1.0f), counted("two", {1000}, 2.0f)};
  const pid_t child = fork();
  if (child == 0) {
    vitrine::Run run([&](std::string_view, std::size_t done, std::size_t) {
      if (done > 0) kill(getpid(), SIGKILL);
    });
    write_gguf(place("a.gguf"), {}, tensors, run);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(place("a.gguf")));
}

TEST_F(Writers, LargeFoldersComeInShards) {
  std::vector<TensorToWrite> tensors;
  for (int i = 0; i < 7; ++i) tensors.push_back(counted("model.t" + std::to_string(i), {10, 5}, static_cast<float>(i)));
  tensors.push_back({.name = "mask", .type = DType::i8, .shape = {3}, .make = [] { return make_weight(Tensor(DType::i8, {3})); }, .word = "BOOL"});
  write_safetensors_folder(file_.folder(), tensors, {{"format", "pt"}}, run_, {.most_bytes = 450});
  EXPECT_TRUE(fs::exists(place("model-00001-of-00004.safetensors")));
  EXPECT_FALSE(fs::exists(place("model.safetensors")));
  const Checkpoint read = open_checkpoint(file_.folder());
  ASSERT_EQ(read.tensors.size(), 8u);
  EXPECT_EQ(expand(read.find("model.t6")->weight).floats()[49], 55.0f);
  EXPECT_EQ(read.find("mask")->word, "BOOL");
}

}  // namespace
}  // namespace vitrine
