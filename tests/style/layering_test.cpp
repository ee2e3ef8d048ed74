// Holds the table of folders and third-party code (HACKING.md): reads every #include of the tree.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrine {
namespace {

constexpr std::size_t longest_file = 600;

// A folder and those whose headers it may include, besides its own. The longest matching prefix counts.
struct Layer {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

const std::vector<Layer>& layers() {
  static const std::vector<Layer> table{
      {"core/base", {}},
      {"core/tensor", {"core/base"}},
      {"core/text", {"core/base"}},
      {"core/checkpoint", {"core/base", "core/tensor"}},
      {"core/model", {"core/base", "core/tensor", "core/text", "core/checkpoint"}},
      {"core/train", {"core/base", "core/tensor", "core/model"}},
      {"core/shortcuts", {"core/base", "core/tensor", "core/text", "core/checkpoint", "core/model"}},
      {"core/decode/grammar", {"core/base", "core/text"}},
      {"core/decode", {"core"}},
      {"core", {}},
      // core/model/attention.h is plain data without a target behind it.
      {"kernels/pattern", {"core/base", "core/tensor", "core/model", "kernels/simd", "kernels/ops"}},  // of ops the -inl.h alone: it links nothing of them
      {"kernels/simd", {"core/base", "core/tensor"}},
      {"kernels", {"core"}},
      {"probes/statistics", {"core/base", "core/tensor"}},
      {"probes/metrics", {"core/base", "probes/statistics"}},
      {"probes/figures", {"core/base", "probes/statistics"}},
      {"probes", {"core", "kernels"}},
      {"bench", {"core", "kernels", "probes"}},
      {"viewer/data", {"core/base", "core/tensor", "core/model", "kernels/pattern", "probes"}},
      {"viewer/draw", {"core/base", "core/tensor", "probes", "viewer/data"}},
      {"viewer", {"core/base", "core/tensor", "core/model", "kernels/pattern", "probes"}},
      {"experiments/data", {"core/base"}},
      {"experiments", {"core", "kernels", "probes"}},
      {"python", {"core", "kernels", "probes", "experiments"}},
      {"tests", {"core", "kernels", "probes", "bench", "viewer", "experiments"}},
  };
  return table;
}

// A third-party library: how its headers begin, the folders that may use it. Never in a header of the folder's
// interface: third-party code in a header is found only where the header says that it is private (-inl.h, _internal.h).
struct ThirdParty {
  std::string_view name;
  std::vector<std::string_view> prefixes;
  std::vector<std::string_view> folders;
};

const std::vector<ThirdParty>& third_parties() {
  static const std::vector<ThirdParty> table{
      {"nlohmann-json", {"nlohmann/"}, {"core"}},
      {"Eigen", {"Eigen/"}, {"core"}},
      {"ICU", {"unicode/"}, {"core"}},
      {"PCRE2", {"pcre2"}, {"core"}},
      {"libsodium", {"sodium"}, {"core", "probes"}},
      {"Highway", {"hwy/"}, {"kernels"}},
      {"oneDNN", {"oneapi/", "dnnl"}, {"kernels"}},
      {"OpenMP", {"omp.h"}, {"kernels"}},
      {"CUDA", {"cuda", "cublas"}, {"kernels"}},
      {"HDF5", {"hdf5", "H5"}, {"probes"}},
      {"libdeflate", {"libdeflate"}, {"probes", "viewer/data"}},
      {"libarchive", {"archive.h", "archive_entry.h"}, {"probes"}},
      {"Boost.Math", {"boost/math/"}, {"probes", "experiments"}},
      {"Boost.Beast", {"boost/beast", "boost/asio"}, {"experiments"}},
      {"Boost.MPI", {"boost/mpi"}, {"core"}},
      {"Google Benchmark", {"benchmark/"}, {"bench"}},
      {"ImGui and ImPlot", {"imgui", "implot", "misc/cpp/imgui_stdlib.h"}, {"viewer/draw", "viewer/panels", "viewer/workbench", "viewer/web", "tests/viewer"}},
      {"GLFW, OpenGL, EGL", {"GLFW/", "GL/", "GLES3/", "EGL/", "KHR/"}, {"viewer/draw", "viewer/web", "tests/viewer"}},
      {"Emscripten", {"emscripten"}, {"viewer/draw", "viewer/web"}},
      {"libpng", {"png.h"}, {"probes/figures", "tests/viewer"}},
      {"pybind11", {"pybind11/"}, {"python"}},
      {"CLI11", {"CLI/"}, {"experiments", "bench", "viewer"}},
      {"GoogleTest", {"gtest/", "gmock/"}, {"tests"}},
  };
  return table;
}

bool below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

const Layer* layer_of(std::string_view path) {
  const Layer* best = nullptr;
  for (const Layer& layer : layers()) {
    if (below(path, layer.folder) && (!best || layer.folder.size() > best->folder.size())) best = &layer;
  }
  return best;
}

/// Why `path` may not include `header`; empty where it may.
std::string complaint(std::string_view path, std::string_view header) {
  const Layer* own = layer_of(path);
  if (!own) return {};
  if (const Layer* other = layer_of(header)) {
    const bool inner = below(header, own->folder) && layer_of(header) == own;
    const bool allowed = inner || std::ranges::any_of(own->may_include, [&](std::string_view folder) {
                           return below(header, folder);
                         });
    // A folder may use its own sub-targets (kernels uses kernels/pattern); core's are named one by one.
    const bool own_part = own->folder != "core" && below(header, own->folder);
    if (allowed || own_part) return {};
    return std::string(own->folder) + " may not include " + std::string(other->folder);
  }
  for (const ThirdParty& library : third_parties()) {
    const bool is_its = std::ranges::any_of(library.prefixes, [&](auto prefix) { return header.starts_with(prefix); });
    if (!is_its) continue;
    const bool allowed = below(path, "tests") ||
                         std::ranges::any_of(library.folders, [&](auto folder) { return below(path, folder); });
    if (!allowed) return std::string(library.name) + " is not for this folder";
    const bool is_public = path.ends_with(".h") && !path.ends_with("-inl.h") && !path.ends_with("_internal.h");
    if (is_public && !below(path, "tests")) return std::string(library.name) + " in a public header";
    return {};
  }
  return {};
}

struct Source {
  std::string path;  // from the root, with '/'
  std::vector<std::string> lines;
};

std::vector<Source> sources() {
  const std::filesystem::path root = std::filesystem::path(VITRINE_TEST_DATA).parent_path();
  constexpr std::array folders{"core", "kernels", "probes", "bench", "viewer", "experiments", "python", "examples", "tests"};
  constexpr std::array endings{".h", ".cpp", ".cu", ".cuh", ".py", ".pyi", ".ipynb", ".cmake"};
  std::vector<Source> found;
  for (const char* folder : folders) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string ending = entry.path().extension().string();
      if (!entry.is_regular_file() || std::ranges::find(endings, ending) == endings.end()) continue;
      Source source{entry.path().lexically_relative(root).generic_string(), {}};
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line);) source.lines.push_back(line);
      found.push_back(std::move(source));
    }
  }
  std::ranges::sort(found, {}, &Source::path);
  return found;
}

std::optional<std::string> included(const std::string& line) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"])re");
  std::smatch match;
  if (!std::regex_search(line, match, pattern)) return std::nullopt;
  return match[1].str();
}

TEST(Layering, EveryIncludeIsInTheTable) {
  std::size_t count = 0;
  for (const Source& source : sources()) {
    for (std::size_t i = 0; i < source.lines.size(); ++i) {
      const auto header = included(source.lines[i]);
      if (!header) continue;
      ++count;
      const std::string why = complaint(source.path, *header);
      EXPECT_TRUE(why.empty()) << source.path << ":" << i + 1 << " includes " << *header << ": " << why;
    }
  }
  EXPECT_GT(count, 100u) << "the tree was not found";
}

TEST(Layering, TheTableRefusesWhatItShould) {
  EXPECT_NE(complaint("core/model/forward.cpp", "kernels/kernels.h"), "");
  EXPECT_NE(complaint("core/tensor/tensor.h", "core/model/spec.h"), "");
  EXPECT_NE(complaint("viewer/panel.cpp", "kernels/kernels.h"), "");
  EXPECT_NE(complaint("core/base/json.h", "nlohmann/json.hpp"), "");
  EXPECT_NE(complaint("probes/recorder.cpp", "hwy/highway.h"), "");
  EXPECT_NE(complaint("experiments/session.cpp", "python/loaded_model_internal.h"), "");
  EXPECT_NE(complaint("experiments/session.cpp", "pybind11/pybind11.h"), "");
  EXPECT_EQ(complaint("core/base/json.cpp", "nlohmann/json.hpp"), "");
  EXPECT_EQ(complaint("kernels/attention/flash.cpp", "kernels/pattern/pattern.h"), "");
  EXPECT_EQ(complaint("experiments/record.cpp", "probes/recorder.h"), "");
  EXPECT_EQ(complaint("core/model/forward.cpp", "vector"), "");
}

TEST(Style, NoFileIsTooLong) {
  for (const Source& source : sources()) {
    EXPECT_LE(source.lines.size(), longest_file) << source.path << ": split it by what it does";
  }
}

TEST(Style, NoMachinePaths) {
  // Written in two parts, so that this file does not find itself.
  const std::array<std::string, 3> folders{std::string("/ho") + "me/", std::string("/ro") + "ot/",
                                           std::string("/wo") + "rk/"};
  for (const Source& source : sources()) {
    for (std::size_t i = 0; i < source.lines.size(); ++i) {
      for (const std::string& folder : folders) {
        EXPECT_EQ(source.lines[i].find(folder), std::string::npos)
            << source.path << ":" << i + 1 << " names a folder of one machine";
      }
    }
  }
}

}  // namespace
}  // namespace vitrine
