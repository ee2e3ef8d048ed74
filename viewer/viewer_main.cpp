#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <imgui.h>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "viewer/panel.h"
#include "viewer/surface.h"

namespace vitrine {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string screenshot, size = "1600x1000", panel, go_to;
  std::size_t layer = 0, head = 0, sequence = 0;
  std::optional<std::size_t> query;
  bool list_panels = false;
};

PixelSize parse_size(const std::string& text) {
  PixelSize size;
  char end = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &size.width, &size.height, &end) != 2 || size.width < 320 || size.height < 240 ||
      size.width > 8192 || size.height > 8192) {
    throw Error({"--size", "WIDTHxHEIGHT from 320x240 to 8192x8192", quoted(text), ""}, Fault::usage);
  }
  return size;
}

/// "layer=3,head=8,query=17"
void parse_go_to(Options& options) {
  for (std::string_view rest = options.go_to; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const std::string_view name = word.substr(0, word.find('=')), digits = word.substr(std::min(word.size(), name.size() + 1));
    std::size_t value = 0;
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool parsed = failure == std::errc() && end == digits.data() + digits.size();
    if (parsed && name == "layer") options.layer = value;
    else if (parsed && name == "head") options.head = value;
    else if (parsed && name == "query") options.query = value;
    else if (parsed && name == "sequence") options.sequence = value;
    else throw Error({"--goto", "layer=N, head=N, query=N or sequence=N, with commas between them", quoted(word), ""}, Fault::usage);
  }
}

void refuse_past(const char* what, std::size_t value, std::size_t count) {
  if (value < count) return;
  throw Error({what, count == 0 ? "nothing: the recording has none" : "0 to " + std::to_string(count - 1), std::to_string(value), ""}, Fault::usage);
}

/// The recording's layer and head that the flags name. @throws Error (usage) where it has no such thing
Selection select(const Options& options, std::span<const Document> documents) {
  Selection selection{0, options.head, options.sequence, options.query};
  for (const Document& document : documents) {
    if (!document.recording) continue;
    const auto modules = own_modules(*document.recording);
    if (modules.empty()) continue;
    if (document.recording->sequences() == 0) throw Error({document.path.string(), "recorded tokens", "none: nothing was committed", "record anew"});
    refuse_past("layer", options.layer, modules.back().block + 1);
    while (selection.layer < modules.size() && modules[selection.layer].block != options.layer) ++selection.layer;
    refuse_past("layer", selection.layer, modules.size());
    refuse_past("head", options.head, modules[selection.layer].heads);
    refuse_past("sequence", options.sequence, document.recording->sequences());
    if (options.query) refuse_past("query", *options.query, document.recording->rows_of(options.sequence).count);
    break;
  }
  return selection;
}

std::string panel_names() {
  std::string names;
  for (const Panel* panel : all_panels()) names += (names.empty() ? "" : ", ") + std::string(panel->name);
  return names;
}

/// As `vitrine list` prints its tables.
void list_panels() {
  for (const Panel* panel : all_panels()) std::printf("%-18s %s\n", std::string(panel->name).c_str(), std::string(panel->summary).c_str());
}

struct OpenPanel {
  std::string title;
  std::unique_ptr<PanelView> view;
};

struct Shown {
  std::vector<OpenPanel> panels;
  Selection selection;
};

bool draw_everything(Shown& shown) {
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const bool alone = shown.panels.size() == 1;
  const ImGuiID dock = alone ? 0 : ImGui::DockSpaceOverViewport();
  bool busy = false;
  for (OpenPanel& panel : shown.panels) {
    if (alone) {
      ImGui::SetNextWindowPos(viewport->WorkPos);
      ImGui::SetNextWindowSize(viewport->WorkSize);
    } else {
      ImGui::SetNextWindowDockID(dock, ImGuiCond_FirstUseEver);
    }
    constexpr ImGuiWindowFlags fixed = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings;
    if (ImGui::Begin(panel.title.c_str(), nullptr, alone ? fixed : 0)) {
      panel.view->draw(shown.selection);
      busy |= panel.view->busy();
    }
    ImGui::End();
  }
  return busy;
}

MakeFrame frame_maker(const Options& options, std::span<const Document> documents, const Selection& selection) {
  return [&options, documents, selection]() -> Frame {
    auto shown = std::make_shared<Shown>();
    shown->selection = selection;
    for (const Document& document : documents) {
      for (const Panel* panel : all_panels()) {
        if (!panel->shows(document) || (!options.panel.empty() && panel->name != options.panel)) continue;
        shown->panels.push_back({std::string(panel->name) + ": " + document.path.filename().string(), panel->make(document)});
      }
    }
    if (shown->panels.empty()) throw Error({"--panel", "a panel that shows this file", quoted(options.panel), "panels: " + panel_names()}, Fault::usage);
    return [shown] { return draw_everything(*shown); };
  };
}

void run(Options& options) {
  if (options.list_panels) return list_panels();
  if (options.files.empty()) throw Error({"FILE", "recordings (.h5) or studies (study.json)", "none", "see --help"}, Fault::usage);
  parse_go_to(options);
  const PixelSize size = parse_size(options.size);
  std::vector<Document> documents;
  for (const std::string& file : options.files) documents.push_back(open_document(file));
  const Selection selection = select(options, documents);
  const MakeFrame make = frame_maker(options, documents, selection);
  if (options.screenshot.empty()) return run_window("Vitrine: " + documents.front().path.filename().string(), size, make);
  write_png(options.screenshot, size, render_offscreen(size, make));
}

int parse_and_run(int argc, char** argv) {
  Options options;
  CLI::App app("Shows recordings and studies of Vitrine.", "vitrine-viewer");
  app.footer("Examples:\n  vitrine-viewer run.h5 --goto layer=5,head=3,query=17\n"
             "  vitrine-viewer run.h5 --layer 5 --head 3 --screenshot map.png --size 1600x1000");
  app.add_option("FILE", options.files, "recordings (.h5) and studies (study.json)");
  app.add_option("--screenshot", options.screenshot, "draw into this PNG, without any display, and leave");
  app.add_option("--size", options.size, "WIDTHxHEIGHT of the window or picture (1600x1000)");
  app.add_option("--layer", options.layer, "layer to open");
  app.add_option("--head", options.head, "head to open");
  app.add_option("--sequence", options.sequence, "sequence of the recording to open");
  app.add_option("--query", options.query, "position of a query to mark");
  app.add_option("--goto", options.go_to, "layer, head, query and sequence in one word: layer=5,head=3,query=17");
  app.add_option("--panel", options.panel, "only this panel: " + panel_names());
  app.add_flag("--list-panels", options.list_panels, "print the panels and leave");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const std::string line = quoted(std::string(error.what()), 300);  // one line, whatever was typed
    std::fprintf(stderr, "vitrine-viewer: %s; see --help\n", line.substr(1, line.size() - 2).c_str());
    return 2;
  }
  run(options);
  return 0;
}

}  // namespace
}  // namespace vitrine

int main(int argc, char** argv) {
  try {
    return vitrine::parse_and_run(argc, argv);
  } catch (const vitrine::Error& error) {
    std::fprintf(stderr, "vitrine-viewer: %s\n", error.what());
    return static_cast<int>(error.fault());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vitrine-viewer: %s\n", error.what());
    return 1;
  }
}
