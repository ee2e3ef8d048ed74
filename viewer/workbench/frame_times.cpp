#include "viewer/workbench/frame_times.h"

#include <imgui.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <random>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "viewer/draw/items.h"
#include "viewer/workbench/workbench.h"

namespace vitrine {
namespace {

constexpr std::size_t heads_tried = 24;

double now() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Json summary(std::vector<double> milliseconds) {
  std::ranges::sort(milliseconds);
  const auto at = [&](double share) { return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))]; };
  return Json::object().set("median_ms", at(0.5)).set("p99_ms", at(0.99)).set("largest_ms", milliseconds.back()).set("n", std::uint64_t{milliseconds.size()});
}

/// Peak of the resident memory in megabytes, as Linux tells it.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024.0;
  }
  return std::nan("");
}

/// A workbench whose frames are timed.
class Watch {
 public:
  Watch(Desk& desk, PixelSize size, const std::string& panel) : surface_(size), workbench_(desk, Look{}, panel) {}
  double frame() {
    const double begin = now();
    surface_.draw([this] { return workbench_.frame(); });
    return now() - begin;
  }
  void settle() { surface_.settle([this] { return workbench_.frame(); }); }

 private:
  OffscreenSurface surface_;
  Workbench workbench_;
};

Rectangle area_of(const char* name) {
  const auto item = item_named(name);
  if (!item) throw Error({"--frame-times", "a recording with attention", "none is drawn", ""});
  return *item;
}

/// Time until something of another head is seen, over heads drawn by lot.
Json time_heads(Desk& desk, Watch& watch) {
  std::mt19937 random(1);
  const auto modules = desk.shown(DocumentKind::recording)->recording->modules();
  std::vector<double> times;
  for (std::size_t i = 0; i < heads_tried; ++i) {
    desk.selection.layer = random() % modules.size();
    desk.selection.head = random() % modules[desk.selection.layer].heads;
    const double begin = now();
    do watch.frame();
    while (!item_named("attention/seen") && now() - begin < 60000.0);
    times.push_back(now() - begin);
  }
  return summary(times);
}

/// Dragging the map about, then turning the wheel in and out.
Json time_map(Watch& watch, std::size_t frames) {
  ImGuiIO& io = ImGui::GetIO();
  const Rectangle area = area_of("attention/map");
  std::vector<double> times;
  for (int i = 0; i < 12; ++i) {
    io.AddMousePosEvent(area.middle().x, area.middle().y);
    io.AddMouseWheelEvent(0.0f, 1.0f);
    watch.frame();
  }
  io.AddMouseButtonEvent(0, true);
  for (std::size_t i = 0; i < frames / 2; ++i) {
    const float turn = static_cast<float>(i) * 0.15f;
    io.AddMousePosEvent(area.middle().x + 150.0f * std::sin(turn), area.middle().y + 150.0f * std::cos(turn));
    times.push_back(watch.frame());
  }
  io.AddMouseButtonEvent(0, false);
  for (std::size_t i = 0; i < frames / 2; ++i) {
    io.AddMouseWheelEvent(0.0f, (i / 10) % 2 == 0 ? -1.0f : 1.0f);
    times.push_back(watch.frame());
  }
  return summary(times);
}

Json time_grid(Watch& watch, std::size_t frames) {
  const Rectangle area = area_of("heads/grid");
  ImGuiIO& io = ImGui::GetIO();
  std::vector<double> times;
  for (std::size_t i = 0; i < frames; ++i) {
    io.AddMousePosEvent(area.from.x + static_cast<float>(i % 200), area.from.y + static_cast<float>(i % 190));
    io.AddMouseWheelEvent(0.0f, (i / 20) % 2 == 0 ? -0.5f : 0.5f);
    times.push_back(watch.frame());
  }
  return summary(times);
}

}  // namespace

Json frame_times(const std::string& file, PixelSize size, std::size_t frames) {
  Json result = Json::object();
  Desk desk({.threads = available_cores()});
  double begin = now();
  desk.open_or_throw(file);
  result.set("open_ms", now() - begin);
  {
    Watch watch(desk, size, "attention");
    begin = now();
    do watch.frame();
    while (!item_named("attention/seen") && now() - begin < 60000.0);
    result.set("first_map_ms", now() - begin);
    watch.settle();
    result.set("memory_after_first_map_mb", peak_megabytes());
    result.set("another_head", time_heads(desk, watch));
    watch.settle();
    result.set("memory_after_heads_mb", peak_megabytes());
    result.set("map_moved", time_map(watch, frames));
    result.set("memory_after_map_mb", peak_megabytes());
  }
  {
    Watch watch(desk, size, "heads");
    begin = now();
    watch.settle();
    result.set("all_thumbnails_ms", now() - begin);
    result.set("grid_moved", time_grid(watch, frames));
  }
  return result.set("peak_memory_mb", peak_megabytes()).set("width", size.width).set("height", size.height);
}

std::string frame_times_text(const Json& times) {
  std::string text;
  char line[160];
  for (const auto& [name, value] : times.members()) {
    if (value.is_object()) {
      std::snprintf(line, sizeof line, "%-18s median %7.1f ms, 99th percentile %7.1f ms, largest %7.1f ms, n = %lld\n", name.c_str(), value["median_ms"].number(), value["p99_ms"].number(),
                    value["largest_ms"].number(), static_cast<long long>(value["n"].integer()));
    } else {
      std::snprintf(line, sizeof line, "%-18s %.1f\n", name.c_str(), value.is_number() ? value.number() : 0.0);
    }
    text += line;
  }
  return text;
}

}  // namespace vitrine
