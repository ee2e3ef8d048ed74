#include <png.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <vector>

#include "probes/analysis.h"
#include "probes/statistics/estimate.h"
#include "tests/viewer/workbench_fixture.h"

// A dozen views as pictures, against those that were looked at: each channel within 2 of 255, but for one pixel in a thousand.
//   VITRINE_MAKE_PICTURES=1 viewer_test --gtest_filter='*Pictures*'   writes them anew: look at every one.
// They were made by Mesa's software rasteriser and the fonts of Debian 12.

namespace vitrine {
namespace {

constexpr PixelSize picture_size{900, 600};

std::filesystem::path golden(const std::string& name) { return std::filesystem::path(VITRINE_TEST_DATA) / "viewer" / "pictures" / (name + ".png"); }

/// RGBA, empty where there is no such file.
std::vector<std::uint8_t> read_png(const std::filesystem::path& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, path.c_str()) == 0) return {};
  image.format = PNG_FORMAT_RGBA;
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  return png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr) == 0 ? std::vector<std::uint8_t>() : pixels;
}

/// Pixels of which a channel differs by more than 2.
std::size_t different(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i + 3 < a.size(); i += 4) {
    bool same = true;
    for (std::size_t c = 0; c < 3; ++c) same &= std::abs(int{a[i + c]} - int{b[i + c]}) <= 2;
    count += same ? 0 : 1;
  }
  return count;
}

struct View {
  const char* name;
  const char* panel;  ///< or "": everything
  const char* file;   ///< "recordings", or a JSON of the folder
  Selection selection{};
  bool light = false;
  std::function<void(Desk&, Workbench&)> prepare = [](Desk&, Workbench&) {};
};

Json study_json() {
  std::vector<Estimate> estimates{clustered_mean("association part", std::vector<double>{0.4, 0.1, 0.7, 0.2, 0.5, 0.3, 0.6, 0.2, 0.1, 0.9}, {}), binomial_share("sign rate", 31, 40),
                                  not_measurable("a third", "nats", "no item of this group")};
  judge(estimates[0], 0.0, 0.1);
  judge(estimates[1], 0.5, 0.02);
  Json list = Json::array();
  for (const Estimate& each : estimates) list.push(to_json(each));
  return Json::object().set("study", "pairs").set("title", "Pairs of a small model").set("question", "Which sentence of a pair is likelier?").set("estimates", list).set("notes", Json::array());
}

Json analysis_json() {
  AnalysisResult result;
  AnalysisGrid grid{.title = "a number of layers and positions", .row_axis = "layer", .column_axis = "position", .unit = "nats"};
  for (int r = 0; r < 6; ++r) grid.row_labels.push_back(std::to_string(r));
  for (int c = 0; c < 8; ++c) grid.column_labels.push_back("token " + std::to_string(c));
  for (int i = 0; i < 48; ++i) grid.values.push_back(std::sin(0.4 * i));
  result.grids.push_back(grid);
  result.notes.push_back("what a reader must know");
  return to_json(result);
}

Json sweep_json() {
  Json effect = Json::array(), raw = Json::array(), columns = Json::array();
  for (int r = 0; r < 4; ++r) {
    Json row = Json::array(), plain = Json::array();
    for (int c = 0; c < 5; ++c) row.push(c == r ? 1.0 : 0.1 * r - 0.05 * c), plain.push(c == r ? 3.0 : 0.3 * r);
    effect.push(row);
    raw.push(plain);
  }
  for (int c = 0; c < 5; ++c) columns.push("t" + std::to_string(c));
  return Json::object().set("effect", effect).set("raw", raw).set("clean", 2.0).set("corrupt", -1.0).set("direction", "denoise").set("meaning", "1: this cell restores the clean answer").set("columns", columns)
      .set("column_axis", "position").set("sweep", "resid_pre").set("method", "patching").set("pairs", 1).set("notes", Json::array()).set("cells", 20).set("seconds", 0.1);
}

Json bench_json() {
  Json rows = Json::array();
  for (const auto& [name, time] : {std::pair("attention/flash", 1.5), std::pair("attention/reference", 4.0), std::pair("matmul/q8_0", 2.5)}) {
    rows.push(Json::object().set("name", name).set("run_name", name).set("run_type", "iteration").set("iterations", 10).set("real_time", time).set("cpu_time", time).set("time_unit", "ms"));
  }
  return Json::object().set("context", Json::object().set("date", "2026-01-01T10:00:00+00:00").set("num_cpus", 2)).set("benchmarks", rows);
}

const std::vector<View>& views() {
  static const std::vector<View> all{
      {"whole_window", "", "recordings", {1, 2, 0, 5, 2}},
      {"attention", "attention", "recordings", {1, 2, 0, 5, 2}},
      {"attention_light", "attention", "recordings", {1, 2, 0, 5, 2}, true},
      {"attention_cividis_log", "attention", "recordings", {0, 1, 0, {}, {}}, false, [](Desk& desk, Workbench&) { desk.map_scale = {0.0f, 1.0f, ColorSpread::logarithmic, ColorMap::cividis, Reduction::mean}; }},
      {"heads", "heads", "recordings"},
      {"heads_table", "heads", "recordings", {}, false, [](Desk&, Workbench& bench) { bench.view("heads")->restore(Json::object().set("table", true)); }},
      {"compare", "compare", "recordings", {1, 0, 0, {}, {}}},
      {"compare_difference", "compare", "recordings", {1, 0, 0, {}, {}}, false, [](Desk&, Workbench& bench) { bench.view("compare")->restore(Json::object().set("mode", 1)); }},
      {"text", "text", "recordings", {1, 2, 0, 9, {}}},
      {"arcs", "arcs", "recordings", {1, 2, 0, 9, {}}},
      {"analysis", "lens", "analysis.json"},
      {"patching", "patching", "sweep.json"},
      {"bias", "bias", "study.json"},
      {"bench", "bench", "bench.json"},
      {"sentence", "sentence", "study.json"},
  };
  return all;
}

class Pictures : public WorkbenchTest, public testing::WithParamInterface<View> {
 protected:
  Pictures() {
    write("study.json", study_json().dump());
    write("analysis.json", analysis_json().dump());
    write("sweep.json", sweep_json().dump());
    write("bench.json", bench_json().dump());
    setenv("XDG_STATE_HOME", folder_.c_str(), 1);  // nothing of who runs this is remembered
  }
};

TEST_P(Pictures, AreThoseThatWereLookedAt) {
  const View& view = GetParam();
  try {
    surface_ = std::make_unique<OffscreenSurface>(picture_size, Look{.light = view.light, .scale = 1.0f, .font = {}});
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  desk_ = std::make_unique<Desk>(TileCache::Options{});
  if (std::string(view.file) == "recordings") {
    desk_->open(record_tiny("llama", "first.h5"));
    desk_->open(record_tiny("llama", "second.h5"));
  } else {
    desk_->open(folder_ / view.file);
  }
  workbench_ = std::make_unique<Workbench>(*desk_, Look{.light = view.light, .scale = 1.0f, .font = {}}, view.panel);
  desk_->selection = view.selection;
  settle();
  view.prepare(*desk_, *workbench_);
  settle();
  EXPECT_TRUE(desk_->messages().empty()) << desk_->messages().front().text;
  const std::vector<std::uint8_t> pixels = surface_->pixels();
  if (std::getenv("VITRINE_MAKE_PICTURES") != nullptr) return write_png(golden(view.name).string(), picture_size, pixels);
  const std::vector<std::uint8_t> expected = read_png(golden(view.name));
  ASSERT_EQ(expected.size(), pixels.size()) << golden(view.name);
  const std::size_t count = different(pixels, expected);
  if (count <= pixels.size() / 4 / 1000) return;
  const std::string kept = (std::filesystem::temp_directory_path() / ("vitrine_" + std::string(view.name) + ".png")).string();
  write_png(kept, picture_size, pixels);
  ADD_FAILURE() << count << " pixels differ from " << golden(view.name) << "; what was drawn: " << kept;
}

INSTANTIATE_TEST_SUITE_P(Views, Pictures, testing::ValuesIn(views()), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace vitrine
