#include <cstdlib>
#include <fstream>
#include <iterator>

#include "probes/protection/secret.h"
#include "tests/viewer/workbench_fixture.h"

// Recordings that are broken, foreign, half written or for other readers: a message, or what can be shown; the program lives.

namespace vitrine {
namespace {

class StrangeFiles : public WorkbenchTest {
 protected:
  RecorderOptions options_of(const char* file) const {
    RecorderOptions options;
    options.path = folder_ / file;
    options.points = {};
    options.kv_format = DType::f32;
    return options;
  }
  std::string bytes_of(const std::filesystem::path& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  /// Draws every panel that shows something.
  void look_at_everything() {
    for (const Panel* panel : all_panels()) {
      if (!available(*panel, *desk_)) continue;
      workbench_->show_panel(panel->name);
      settle();
    }
  }
};

TEST_F(StrangeFiles, CutAndChangedOnesAreMessages) {
  const auto good = record_tiny();
  const std::string bytes = bytes_of(good);
  std::vector<std::filesystem::path> files{good};
  for (const double share : {0.1, 0.5, 0.9, 0.99}) files.push_back(write("cut" + std::to_string(share) + ".h5", bytes.substr(0, static_cast<std::size_t>(share * static_cast<double>(bytes.size())))));
  for (std::size_t at = 600; at < bytes.size(); at += bytes.size() / 8) {
    std::string changed = bytes;
    for (std::size_t i = at; i < std::min(at + 64, bytes.size()); ++i) changed[i] = static_cast<char>(~changed[i]);
    files.push_back(write("changed" + std::to_string(at) + ".h5", changed));
  }
  start(files);
  ASSERT_TRUE(surface_);
  EXPECT_GE(desk_->documents().size(), 1u);
  EXPECT_GE(desk_->messages().size(), 1u);
  for (const DocumentPointer& document : std::vector(desk_->documents())) {  // numbers that were changed are shown, or are a message
    desk_->show(document);
    look_at_everything();
  }
}

TEST_F(StrangeFiles, AHalfWrittenOneShowsWhatIsThere) {
  TinyModel tiny("llama");
  const auto recorder = record(tiny, two_texts, options_of("half.h5"));  // not finished
  start({folder_ / "half.h5"});
  ASSERT_TRUE(surface_);
  look_at_everything();
  recorder->finish();
  EXPECT_TRUE(desk_->open(folder_ / "half.h5"));
  workbench_->show_panel("attention");
  settle();
  EXPECT_TRUE(item_named("attention/map"));
}

TEST_F(StrangeFiles, AProtectedOneIsForItsReaders) {
  write_new_key(folder_ / "all");
  write_new_key(folder_ / "few");
  TinyModel tiny("llama");
  RecorderOptions options = options_of("sealed.h5");
  options.readers = {{ReaderRole::everything, read_key(folder_ / "all")}, {ReaderRole::summaries, read_key(folder_ / "few")}};
  record(tiny, two_texts, options)->finish();
  unsetenv("VITRINE_KEY_FILE");
  start({options.path});
  ASSERT_TRUE(surface_);
  EXPECT_TRUE(desk_->documents().empty());
  ASSERT_EQ(desk_->messages().size(), 1u);
  desk_->messages().clear();
  setenv("VITRINE_KEY_FILE", (folder_ / "few").c_str(), 1);
  EXPECT_TRUE(desk_->open(options.path));
  look_at_everything();  // what this reader may not see is a message
  setenv("VITRINE_KEY_FILE", (folder_ / "all").c_str(), 1);
  EXPECT_TRUE(desk_->open(options.path));
  desk_->messages().clear();
  workbench_->show_panel("attention");
  settle();
  EXPECT_TRUE(item_named("attention/map"));
  unsetenv("VITRINE_KEY_FILE");
}

/// What is being written may be looked at: a writer finds its file free.
TEST_F(StrangeFiles, AWriterIsNotDisturbed) {
  TinyModel tiny("llama");
  auto recorder = record(tiny, two_texts, options_of("live.h5"));
  start({folder_ / "live.h5"});
  ASSERT_TRUE(surface_);
  EXPECT_NO_THROW(recorder->finish());
  EXPECT_TRUE(desk_->open(folder_ / "live.h5"));
  EXPECT_TRUE(desk_->shown(DocumentKind::recording)->recording->finished());
}

}  // namespace
}  // namespace vitrine
