#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "tests/probes/recorded_run.h"
#include "probes/figures/token_label.h"
#include "viewer/draw/heat_map.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"

namespace vitrine {
namespace {

TEST(TokenLabel, ShowsWhatOneCannotSee) {
  EXPECT_EQ(token_label(" the"), "\u2423the");
  EXPECT_EQ(token_label("\n"), "\u21b5");
  EXPECT_EQ(token_label("\xe6\x9d"), "<E6><9D>");  // part of a character
  EXPECT_EQ(token_label("\xe6\x9d\xb1"), "\xe6\x9d\xb1");
  EXPECT_EQ(token_label("abcdef", 3), "abc\u2026");
  EXPECT_EQ(token_label(std::string_view("\0", 1)), "<00>");
}

int run_viewer(const std::string& arguments) {
  const int status = std::system((std::string(VITRINE_VIEWER_PROGRAM) + " " + arguments + " 2>/dev/null").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Width and height that a PNG's header states; zeros where there is none.
std::pair<unsigned, unsigned> png_size(const std::filesystem::path& path) {
  unsigned char head[24] = {};
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(head), sizeof head);
  const auto number = [&](int at) { return unsigned{head[at]} << 24 | unsigned{head[at + 1]} << 16 | unsigned{head[at + 2]} << 8 | head[at + 3]; };
  return head[1] == 'P' ? std::pair(number(16), number(20)) : std::pair(0u, 0u);
}

class Viewer : public testing::Test {
 protected:
  Viewer() : file_("viewer") {
    TinyModel tiny("llama");
    RecorderOptions options;
    options.path = file_.path;
    options.points = {};
    options.kv_format = DType::f32;
    record(tiny, two_texts, options)->finish();
    picture_ = file_.path.parent_path() / "picture.png";
    study_ = file_.path.parent_path() / "study.json";
    write_study({to_json(clustered_mean("association", std::vector<double>{0.4, 0.1, 0.7, 0.2}, {})), to_json(not_measurable("nothing", "nats", "none"))});
  }
  void write_study(const std::vector<Json>& estimates) {
    Json list = Json::array();
    for (const Json& each : estimates) list.push(each);
    std::ofstream(study_) << Json::object().set("study", "pairs").set("title", "a study").set("estimates", list).dump();
  }
  ScratchFile file_;
  std::filesystem::path picture_, study_;
};

TEST_F(Viewer, DrawsPicturesWithoutADisplay) {
  const int code = run_viewer(file_.path.string() + " --layer 1 --head 1 --query 3 --size 900x640 --screenshot " + picture_.string());
  if (code == 1 && png_size(picture_).first == 0) GTEST_SKIP() << "no EGL here";
  EXPECT_EQ(code, 0);
  EXPECT_EQ(png_size(picture_), std::pair(900u, 640u));
  std::filesystem::remove(picture_);
  EXPECT_EQ(run_viewer(study_.string() + " --screenshot " + picture_.string()), 0);
  EXPECT_EQ(png_size(picture_), std::pair(1600u, 1000u));
}

TEST_F(Viewer, RefusesWhatIsNotThere) {
  const std::string shot = " --screenshot " + picture_.string();
  EXPECT_EQ(run_viewer(file_.path.string() + " --layer 99" + shot), 2);
  EXPECT_EQ(run_viewer(file_.path.string() + " --head 99" + shot), 2);
  EXPECT_EQ(run_viewer(file_.path.string() + " --sequence 2" + shot), 2);
  for (const char* place : {"layer=0,planet=3", "layer=99", "head=99", "query=999", "sequence=2", "layer=-1", "layer=", "layer", ",",
                            "query=99999999999999999999999"}) {
    EXPECT_EQ(run_viewer(file_.path.string() + " --goto " + place + shot), 2) << place;
  }
  EXPECT_EQ(run_viewer(file_.path.string() + " --size 10x10" + shot), 2);
  EXPECT_EQ(run_viewer(file_.path.string() + " --panel cinema" + shot), 2);
  EXPECT_EQ(run_viewer("nothing.h5" + shot), 1);
  EXPECT_EQ(run_viewer(shot), 2);
  EXPECT_FALSE(std::filesystem::exists(picture_));
}

TEST_F(Viewer, RefusesMalformedEstimatesInOneLine) {
  const Json good = to_json(clustered_mean("association", std::vector<double>{0.4, 0.1, 0.7, 0.2}, {}));
  for (const Json& bad : {Json(3.0), Json(good).set("verdict", "excellent"), Json(good).set("value", "big"), Json(good).set("direction", Json())}) {
    write_study({good, bad});
    EXPECT_EQ(run_viewer(study_.string() + " --screenshot " + picture_.string()), 1) << bad.dump();
    try {
      open_document(study_);
      ADD_FAILURE() << bad.dump();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("estimate 2"), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

TEST_F(Viewer, ListsItsPanels) {
  EXPECT_EQ(run_viewer("--list-panels > " + picture_.string()), 0);
  std::ifstream file(picture_);
  for (const Panel* panel : all_panels()) {
    std::string line;
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_TRUE(line.starts_with(panel->name)) << line;
  }
}

TEST_F(Viewer, LeavesNoHalfPicture) {
  const std::vector<std::uint8_t> pixels(64 * 64 * 4, 128);
  EXPECT_THROW(write_png("/dev/full/picture.png", {64, 64}, pixels), Error);
  const auto folder = picture_.parent_path() / "taken";
  std::filesystem::create_directory(folder);  // a picture cannot be renamed over a folder
  EXPECT_THROW(write_png(folder.string(), {64, 64}, pixels), Error);
  for (const auto& entry : std::filesystem::directory_iterator(picture_.parent_path())) {
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
  }
}

/// A picture that is larger than a tile is the same picture: labels, lines and maps go on across the edges.
TEST(OffscreenSurface, LargePicturesAreDrawnInTiles) {
  constexpr int width = 5000, height = 300;
  std::unique_ptr<OffscreenSurface> surface;
  try {
    surface = std::make_unique<OffscreenSurface>(PixelSize{width, height});
  } catch (const std::exception& error) {
    GTEST_SKIP() << error.what();
  }
  std::vector<std::uint8_t> pixels;
  {
    HeatMap map;
    std::vector<float> values(100);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 2);
    map.upload(values, 1, 100);
    surface->settle([&] {
      draw_in_whole_window(map, {0, 0}, {width, height}, {0.0f, 1.0f, ColorSpread::linear});
      return false;
    });
    pixels = surface->pixels();
  }
  for (int cell = 0; cell < 100; ++cell) {  // 50 pixels each, also behind 4,096
    const std::uint8_t* at = pixels.data() + (150 * width + cell * 50 + 25) * 4;
    EXPECT_EQ(at[0] > 200, cell % 2 == 1) << cell;
  }
}

/// The pixels of a map are its weights' colours: a bright diagonal on a dark map.
TEST(HeatMap, DrawsNumbersAsColours) {
  constexpr int size = 320;
  std::vector<float> values(16, 0.0f);
  for (int i = 0; i < 4; ++i) values[static_cast<std::size_t>(i * 5)] = 1.0f;
  values[3] = NAN;
  std::unique_ptr<OffscreenSurface> surface;
  try {
    surface = std::make_unique<OffscreenSurface>(PixelSize{size, 240});
  } catch (const std::exception& error) {
    GTEST_SKIP() << error.what();
  }
  std::vector<std::uint8_t> pixels;
  {
    HeatMap map;
    map.upload(values, 4, 4);
    surface->settle([&] {
      draw_in_whole_window(map, {0, 0}, {160, 160}, {0.0f, 1.0f, ColorSpread::linear});
      return false;
    });
    pixels = surface->pixels();
  }
  const auto at = [&](int row, int col) { return pixels.data() + ((row * 40 + 20) * size + col * 40 + 20) * 4; };
  EXPECT_GT(at(1, 1)[0], 200);  // viridis at 1: yellow
  EXPECT_GT(at(1, 1)[1], 200);
  EXPECT_LT(at(1, 0)[1], 40);  // at 0: dark violet
  EXPECT_GT(at(1, 0)[2], 60);
  EXPECT_NEAR(at(0, 3)[0], 33, 20);  // not seen: grey, hatched
  EXPECT_NEAR(at(0, 3)[1], 33, 20);
}

}  // namespace
}  // namespace vitrine
