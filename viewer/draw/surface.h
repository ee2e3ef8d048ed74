#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "viewer/draw/look.h"

namespace vitrine {

struct PixelSize {
  int width = 1600;
  int height = 1000;
};

/// What a window shows. Everything is called on one thread while OpenGL is there.
class Scene {
 public:
  virtual ~Scene() = default;
  /// One frame of the interface, between ImGui::NewFrame and ImGui::Render. Returns whether anything is still being computed: pictures
  /// wait for it, windows are woken by it (wake_window).
  virtual bool frame() = 0;
  /// Files were dropped onto the window.
  virtual void dropped(const std::vector<std::string>&) {}
  /// Whether the window shall close.
  virtual bool wants_to_close() const { return false; }
};

/// Makes a scene once OpenGL and ImGui are there.
using MakeScene = std::function<std::unique_ptr<Scene>()>;

/// Opens a window and draws frames until it is closed; sleeps while nothing happens.
/// @throws Error where there is no display
void run_window(const std::string& title, PixelSize size, const Look& look, const MakeScene& make);
/// Ends the sleep of a window, from any thread; nothing where there is none.
void wake_window();

/// Draws without any display (EGL surfaceless), frame by frame: pictures, exports, tests.
class OffscreenSurface {
 public:
  /// @throws Error where EGL or OpenGL 3.3 cannot be had
  explicit OffscreenSurface(PixelSize size, const Look& look = {});
  ~OffscreenSurface();
  /// Draws one frame of 1/60 s to its end; returns what `frame` does. ImGui's events may be added before.
  bool draw(const std::function<bool()>& frame);
  /// Draws until `frame` has needed no other one for some frames: windows find their sizes in the first ones.
  void settle(const std::function<bool()>& frame);
  /// RGBA rows of the last frame, top first, drawn tile by tile where it is large.
  std::vector<std::uint8_t> pixels() const;
  PixelSize size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// apply_window_look() and the colours of plots.
void apply_look(const Look& look);

/// Writes a PNG beside `path` and renames it, so that nothing half-written appears. @throws Error
void write_png(const std::string& path, PixelSize size, const std::vector<std::uint8_t>& rgba);

}  // namespace vitrine
