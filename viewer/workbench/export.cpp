#include "viewer/workbench/export.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <ostream>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "viewer/data/remembered.h"
#include "viewer/workbench/workbench.h"

namespace vitrine {
namespace {

std::string ending_of(const std::string& file) { return std::filesystem::path(file).extension().string(); }

}  // namespace

bool is_figure_file(const std::string& file) {
  const std::string ending = ending_of(file);
  return ending == ".svg" || ending == ".csv" || ending == ".npy";
}

void export_figure(const Figure& figure, const std::string& file) {
  const std::string ending = ending_of(file);
  if (figure.empty()) throw Error({file, "something to write", "a panel that shows nothing", ""});
  const std::string bytes = ending == ".svg" ? figure_svg(figure) : ending == ".csv" ? figure_csv(figure) : figure_npy(figure);
  write_in_one_step(file, [&](std::ostream& stream) { stream << bytes; });
}

void export_panel(Desk& desk, const ExportOrder& order) {
  const bool picture = ending_of(order.file) == ".png";
  if (!picture && !is_figure_file(order.file)) throw Error({"--export", "a file that ends in .png, .svg, .csv or .npy", quoted(order.file), ""}, Fault::usage);
  std::optional<OffscreenSurface> surface;
  if (picture) surface.emplace(order.size, order.look);
  Workbench alone(desk, order.look, order.panel);
  if (!order.session.empty()) open_session(alone, order.session);
  PanelView* view = alone.view(order.panel);
  if (view == nullptr) throw Error({order.panel, "something to show", desk.messages().empty() ? "nothing" : desk.messages().back().text, ""});
  const Figure figure = view->figure(desk);  // of a picture too: one of nothing is none
  if (!picture) return export_figure(figure, order.file);
  surface->settle([&] { return alone.frame(); });
  write_png(order.file, order.size, surface->pixels());
}

void open_session(Workbench& workbench, const std::string& file) {
  std::error_code ignored;
  std::ifstream stream(file, std::ios::binary);
  if (!stream || !std::filesystem::is_regular_file(file, ignored)) throw Error({file, "a session", "no such file", ""});
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  workbench.load_session(parse_json(text, file), std::filesystem::absolute(file).parent_path());
}

void open_anything(Workbench& workbench, const std::string& file) {
  if (ending_of(file) != ".vitrine") {
    if (!workbench.desk().open(file)) return;
    remember("recent", std::filesystem::absolute(file).string());
    return workbench.show_newest();
  }
  try {
    open_session(workbench, file);
    remember("recent", std::filesystem::absolute(file).string());
  } catch (const std::exception& error) {
    workbench.desk().warn(error.what());
  }
}

void save_session(const Workbench& workbench, const std::string& file) {
  const std::string text = workbench.session(std::filesystem::absolute(file).parent_path()).dump(2) + "\n";
  write_in_one_step(file, [&](std::ostream& stream) { stream << text; });
}

}  // namespace vitrine
