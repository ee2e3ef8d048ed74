#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vitrine {

struct PixelSize {
  int width = 1600;
  int height = 1000;
};

/// One frame of the interface, between ImGui::NewFrame and ImGui::Render. Returns whether another frame is needed.
using Frame = std::function<bool()>;
/// Makes what the frames draw once OpenGL is there; it is destroyed while OpenGL still is.
using MakeFrame = std::function<Frame()>;

/// Opens a window and draws frames until it is closed. @throws Error where there is no display
void run_window(const std::string& title, PixelSize size, const MakeFrame& make);

/// Draws the same without any display (EGL surfaceless) until nothing moves, and returns RGBA rows, top first.
/// @throws Error where EGL or OpenGL 3.3 cannot be had
std::vector<std::uint8_t> render_offscreen(PixelSize size, const MakeFrame& make);

/// Writes a PNG beside `path` and renames it, so that nothing half-written appears. @throws Error
void write_png(const std::string& path, PixelSize size, const std::vector<std::uint8_t>& rgba);

}  // namespace vitrine
