#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/core/checkpoint/scratch_file.h"

// A damaged checkpoint gives one clear line that names the file, never a crash.

namespace vitrine {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class Damage : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const fs::path source = fs::path(VITRINE_TEST_DATA) / "golden" / "llama" / GetParam();
    whole_ = read(source);
    file_.emplace("damaged" + source.extension().string());
  }

  /// Opens the bytes as a file; whatever happens is either success or an Error that names the file.
  bool opens(const std::string& bytes) {
    try {
      open_checkpoint(file_->write(bytes));
      return true;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return false;
    }
  }

  std::string whole_;
  std::optional<ScratchFile> file_;
};

TEST_P(Damage, TheWholeFileOpens) { EXPECT_TRUE(opens(whole_)); }

TEST_P(Damage, NoShorterFileOpens) {
  for (std::size_t length = 0; length < whole_.size(); length += length < 4000 ? 1 : 997) {
    EXPECT_FALSE(opens(whole_.substr(0, length))) << length << " bytes";
  }
}

TEST_P(Damage, AChangedByteNeverCrashes) {
  for (std::size_t at = 0; at < std::min<std::size_t>(whole_.size(), 4000); ++at) {
    std::string bytes = whole_;
    for (const char value : {'\x00', '\x7f', '\xff'}) {
      bytes[at] = value;
      opens(bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Damage, testing::Values("model.gguf", "model/model.safetensors"));

}  // namespace
}  // namespace vitrine
