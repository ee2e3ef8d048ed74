#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace vitrine {

/// The tiny llama with a tokenizer of twelve tokens ("ab" and "abc" are merged), in a folder that goes with the object.
class TokenizingModel {
 public:
  TokenizingModel() : folder_(std::filesystem::temp_directory_path() / ("vitrine_texts_" + std::to_string(getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(std::filesystem::path(VITRINE_TEST_DATA) / "golden" / "llama" / "model", folder_);
    write("tokenizer.json", R"({"added_tokens": [{"id": 8, "content": "<s>", "special": true}],
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
      "decoder": {"type": "ByteLevel"},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "\u0120": 3, "ab": 4, "abc": 5, "\u0120a": 6, "bc": 7, "\u010a": 9, ",": 10, "\"": 11},
                "merges": ["a b", "ab c", "\u0120 a"]}})");
    write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  }
  ~TokenizingModel() { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_.string(); }
  /// Writes a file beside the model. Returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace vitrine
