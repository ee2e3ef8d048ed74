// Which files of a folder are read, and names in a Hugging Face cache.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// An environment variable for the time of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

class Folders : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(cache_); }
  void TearDown() override { fs::remove_all(folder_); }

  static void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  /// A safetensors file with one tensor of one number.
  static std::string tensor(const std::string& name) {
    std::string header = R"({")" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    return bytes + header + std::string(4, '\0');
  }
  void add_model(const std::string& folder, const std::string& commit, const std::string& name) { write(cache_ / folder / "snapshots" / commit / "model.safetensors", tensor(name)); }

  static std::string first_tensor(const fs::path& path) { return open_checkpoint(path).tensors.front().name; }
  static std::string complaint(const fs::path& path) {
    try {
      open_checkpoint(path);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "";
  }
  static void expect_complaint(const fs::path& path, std::initializer_list<const char*> words) {
    const std::string text = complaint(path);
    for (const char* word : words) EXPECT_NE(text.find(word), std::string::npos) << word << ": " << text;
  }

  fs::path folder_ = fs::path(testing::TempDir()) / ("folders" + std::to_string(getpid())), cache_ = folder_ / "hub";
  Variable home_{"HF_HOME", folder_.c_str()}, hub_{"HF_HUB_CACHE", nullptr}, old_hub_{"HUGGINGFACE_HUB_CACHE", nullptr};
};

TEST_F(Folders, ACachedNameIsTheSnapshotOfMain) {
  add_model("models--gpt2", "aaa111", "old");
  add_model("models--gpt2", "bbb222", "new");
  write(cache_ / "models--gpt2/refs/main", "aaa111");
  write(cache_ / "models--gpt2/refs/v2", "bbb222\n");
  EXPECT_EQ(first_tensor("hf:gpt2"), "old");
  EXPECT_EQ(first_tensor("hf:gpt2@main"), "old");
  EXPECT_EQ(first_tensor("hf:gpt2@v2"), "new");
  EXPECT_EQ(first_tensor("hf:gpt2@bbb222"), "new");
  EXPECT_EQ(first_tensor("hf:gpt2@bbb"), "new");
  expect_complaint("hf:gpt2@ccc", {"hf:gpt2@ccc", "main", "v2", "aaa111", "nothing is downloaded"});
}

TEST_F(Folders, WithoutMainTheOnlySnapshotCounts) {
  add_model("models--org--model", "aaa111", "one");
  EXPECT_EQ(first_tensor("hf:org/model"), "one");
  add_model("models--org--model", "bbb222", "two");
  expect_complaint("hf:org/model", {"aaa111", "bbb222", "@REVISION"});
}

TEST_F(Folders, AnAbsentNameListsWhatIsThere) {
  add_model("models--gpt2", "aaa111", "w");
  add_model("models--org--model", "aaa111", "w");
  expect_complaint("hf:gtp2", {"hf:gtp2", "gpt2, org/model", "nothing is downloaded"});
  for (const char* name : {"hf:", "hf:..", "hf:../x", "hf:a/../b", "hf:gpt2@../main", "hf:gpt2@", "hf:a b", "hf:/gpt2"}) expect_complaint(name, {"hf:NAME"});
  fs::remove_all(cache_);
  expect_complaint("hf:gpt2", {"no models there"});
}

TEST_F(Folders, TheVariableOfTheCacheItselfComesFirst) {
  add_model("models--gpt2", "aaa111", "home");
  const fs::path other = folder_ / "other";
  write(other / "models--gpt2/snapshots/bbb222/model.safetensors", tensor("other"));
  const Variable cache("HF_HUB_CACHE", other.c_str());
  EXPECT_EQ(first_tensor("hf:gpt2"), "other");
}

TEST_F(Folders, SafetensorsComeBeforePickles) {
  const fs::path model = folder_ / "model", zip = fs::path(VITRINE_TEST_DATA) / "core/checkpoint/pytorch/zip.bin";
  fs::create_directories(model);
  expect_complaint(model, {"gguf, llama2c, pytorch, safetensors", "an empty folder"});
  write(model / "flax_model.msgpack", "x");
  expect_complaint(model, {"flax_model.msgpack"});
  fs::copy(zip, model / "pytorch_model.bin");
  EXPECT_EQ(open_checkpoint(model).format, "pytorch");
  write(model / "model.safetensors", tensor("w"));
  EXPECT_EQ(open_checkpoint(model).format, "safetensors");
}

TEST_F(Folders, TheOnlyGgufOfASnapshotIsRead) {
  const fs::path snapshot = cache_ / "models--org--model-GGUF" / "snapshots" / "aaa111", gguf = fs::path(VITRINE_TEST_DATA) / "golden/llama/model.gguf";
  fs::create_directories(snapshot);
  fs::copy(gguf, snapshot / "model-q4.gguf");
  EXPECT_EQ(open_checkpoint("hf:org/model-GGUF").path, snapshot / "model-q4.gguf");
  fs::copy(gguf, snapshot / "model-q8.gguf");
  expect_complaint("hf:org/model-GGUF", {"model-q4.gguf", "model-q8.gguf"});
}

TEST_F(Folders, ShardsOfBothKinds) {
  const fs::path model = folder_ / "model";
  write(model / "model.safetensors.index.json", R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  write(model / "model-1.safetensors", tensor("a"));
  expect_complaint(model, {"model-2.safetensors", "model.safetensors.index.json"});
  write(model / "model-2.safetensors", tensor("b"));
  EXPECT_EQ(open_checkpoint(model).tensors.size(), 2u);
  write(model / "model-2.safetensors", tensor("c"));
  expect_complaint(model, {"'b'", "model-2.safetensors"});
  fs::remove_all(model);
  write(model / "pytorch_model.bin.index.json", R"({"weight_map": {"f32": "one.bin"}})");
  expect_complaint(model, {"one.bin"});
  fs::copy(fs::path(VITRINE_TEST_DATA) / "core/checkpoint/pytorch/zip.bin", model / "one.bin");
  EXPECT_EQ(open_checkpoint(model).format, "pytorch");
}

}  // namespace
}  // namespace vitrine
