#pragma once

#include <gtest/gtest.h>
#include <imgui.h>
#include <imgui_internal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "tests/probes/recorded_run.h"
#include "viewer/draw/items.h"
#include "viewer/draw/surface.h"
#include "viewer/workbench/workbench.h"

namespace vitrine {

/// The workbench without a display, with events as a user's hands make them: by the names of things.
class WorkbenchTest : public testing::Test {
 protected:
  WorkbenchTest() : file_("workbench") {
    folder_ = file_.path.parent_path();
    setenv("XDG_STATE_HOME", folder_.c_str(), 1);  // nothing is remembered of who runs this
  }

  /// A tiny Llama's recording of two texts.
  std::filesystem::path record_tiny(const std::string& name = "llama", const std::string& file = "tiny.h5") {
    TinyModel tiny(name);
    RecorderOptions options;
    options.path = folder_ / file;
    options.points = {};
    options.kv_format = DType::f32;
    record(tiny, two_texts, options)->finish();
    return options.path;
  }

  /// Skips the test where there is no EGL. @param only  one panel, or everything
  void start(const std::vector<std::filesystem::path>& files, const std::string& only = {}, PixelSize size = {1200, 800}) {
    try {
      surface_ = std::make_unique<OffscreenSurface>(size);
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    ImGui::GetCurrentContext()->ErrorCallback = [](ImGuiContext*, void*, const char* message) { ADD_FAILURE() << message; };
    desk_ = std::make_unique<Desk>(TileCache::Options{});
    for (const auto& file : files) desk_->open(file);
    workbench_ = std::make_unique<Workbench>(*desk_, Look{}, only);
    settle();
  }

  void frame() { surface_->draw([&] { return workbench_->frame(); }); }
  void settle() { surface_->settle([&] { return workbench_->frame(); }); }

  static Corner where(const std::string& name) {
    const auto item = item_named(name);
    EXPECT_TRUE(item) << "nothing is called " << name;
    return item ? item->middle() : Corner{};
  }
  void move_to(Corner at) {
    ImGui::GetIO().AddMousePosEvent(at.x, at.y);
    frame();
  }
  void click(Corner at) {
    move_to(at);
    ImGui::GetIO().AddMouseButtonEvent(0, true);
    frame();
    ImGui::GetIO().AddMouseButtonEvent(0, false);
    frame();
    settle();
  }
  void click(const std::string& name) { click(where(name)); }
  void wheel(const std::string& name, float turns) {
    move_to(where(name));
    ImGui::GetIO().AddMouseWheelEvent(0.0f, turns);
    frame();
    settle();
  }
  void drag(Corner from, Corner to) {
    move_to(from);
    ImGui::GetIO().AddMouseButtonEvent(0, true);
    frame();
    for (int i = 1; i <= 4; ++i) move_to({from.x + (to.x - from.x) * static_cast<float>(i) / 4, from.y + (to.y - from.y) * static_cast<float>(i) / 4});
    ImGui::GetIO().AddMouseButtonEvent(0, false);
    frame();
    settle();
  }
  /// @param chord  keys of ImGui, such as ImGuiMod_Ctrl | ImGuiKey_P
  void press(ImGuiKeyChord chord) {
    ImGuiIO& io = ImGui::GetIO();
    const auto key = static_cast<ImGuiKey>(chord & ~ImGuiMod_Mask_);
    for (const ImGuiKey mod : {ImGuiMod_Ctrl, ImGuiMod_Shift, ImGuiMod_Alt}) {
      if ((chord & mod) != 0) io.AddKeyEvent(mod, true);
    }
    io.AddKeyEvent(key, true);
    frame();
    io.AddKeyEvent(key, false);
    for (const ImGuiKey mod : {ImGuiMod_Ctrl, ImGuiMod_Shift, ImGuiMod_Alt}) {
      if ((chord & mod) != 0) io.AddKeyEvent(mod, false);
    }
    frame();
    settle();
  }
  void type(const std::string& text) {
    ImGui::GetIO().AddInputCharactersUTF8(text.c_str());
    frame();
    settle();
  }
  /// Writes a file into the test's folder.
  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  ScratchFile file_;
  std::filesystem::path folder_;
  std::unique_ptr<OffscreenSurface> surface_;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<Workbench> workbench_;  // gone before the surface
};

}  // namespace vitrine
