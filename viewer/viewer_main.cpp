#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "viewer/data/view_pack.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"
#include "viewer/workbench/export.h"
#include "viewer/workbench/frame_times.h"
#include "viewer/workbench/workbench.h"

namespace vitrine {
namespace {

struct Options {
  std::vector<std::string> files, exports;  // exports: panel, file, panel, file, ...
  std::string screenshot, size = "1600x1000", panel, go_to, session, font, pack;
  std::vector<std::string> pack_heads;
  std::optional<std::size_t> layer, query;
  std::size_t head = 0, sequence = 0, cache_megabytes = 256, frame_times = 0;
  float scale = 1.0f;
  bool list_panels = false, light = false, json = false;
};

constexpr std::int64_t most_pixels = 256'000'000;  // a gigabyte

PixelSize parse_size(const std::string& text) {
  PixelSize size;
  char end = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &size.width, &size.height, &end) != 2 || size.width < 320 || size.height < 240 ||
      size.width > 65535 || size.height > 65535 || std::int64_t{size.width} * size.height > most_pixels) {
    throw Error({"--size", "WIDTHxHEIGHT from 320x240 to 65535 a side and 256 million pixels", quoted(text), ""}, Fault::usage);
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

/// The layer, head, sequence and query that the flags name, of the first recording. @throws Error (usage) where it has no such thing
void select(const Options& options, Desk& desk) {
  const DocumentPointer document = desk.shown(DocumentKind::recording);
  if (!document) return;
  const Recording& recording = *document->recording;
  const auto modules = recording.modules();
  if (modules.empty()) return;
  if (recording.sequences() == 0) throw Error({document->path.string(), "recorded tokens", "none: nothing was committed", "record anew"});
  std::size_t place = 0;
  if (options.layer) {  // of the text itself, where an encoder stands beside it
    const auto own = own_modules(recording);
    refuse_past("layer", *options.layer, own.back().block + 1);
    const auto found = std::ranges::find_if(own, [&](const Recording::Module& each) { return each.block == *options.layer; });
    if (found == own.end()) refuse_past("layer", *options.layer, 0);
    place = static_cast<std::size_t>(std::ranges::find_if(modules, [&](const Recording::Module& each) { return each.name == found->name; }) - modules.begin());
  }
  refuse_past("head", options.head, modules[place].heads);
  refuse_past("sequence", options.sequence, recording.sequences());
  if (options.query) refuse_past("query", *options.query, recording.rows_of(options.sequence, modules[place].queries).count);
  desk.selection = {place, options.head, options.sequence, options.query, {}};
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

/// A panel that shows something of what is open. @throws Error (usage)
const Panel& panel_named(const std::string& flag, const std::string& name, const Desk& desk) {
  for (const Panel* panel : all_panels()) {
    if (panel->name == name && available(*panel, desk)) return *panel;
  }
  throw Error({flag, "a panel that shows one of these files", quoted(name), "panels: " + panel_names()}, Fault::usage);
}

/// Sessions stand among the files, or behind --session.
void take_session(Options& options) {
  const auto is_session = [](const std::string& file) { return file.ends_with(".vitrine"); };
  const auto found = std::ranges::find_if(options.files, is_session);
  if (found != options.files.end() && options.session.empty()) options.session = *found;
  std::erase_if(options.files, is_session);
}

/// One recording's maps for a browser.
void write_pack(const Options& options) {
  if (options.files.size() != 1) throw Error({"--pack", "one recording", std::to_string(options.files.size()) + " files", ""}, Fault::usage);
  const auto document = open_document(options.files.front());
  if (!document->recording) throw Error({options.files.front(), "a recording", std::string(document_kind_name(document->kind)), ""}, Fault::usage);
  const bool seen = isatty(STDERR_FILENO) == 1;
  Run run([seen](std::string_view task, std::size_t done, std::size_t total) {
    if (seen) std::fprintf(stderr, "\r%.*s %zu of %zu%s", static_cast<int>(task.size()), task.data(), done, total, done == total ? "\n" : "");
  });
  write_view_pack(document, {options.sequence, options.pack_heads}, options.pack, run);
  const auto bytes = static_cast<double>(std::filesystem::file_size(options.pack));
  options.json ? std::printf("%s\n", Json::object().set("file", options.pack).set("bytes", bytes).dump().c_str()) : std::printf("%s, %.1f MB\n", options.pack.c_str(), bytes / 1e6);
}

void run(Options& options) {
  if (options.list_panels) return list_panels();
  parse_go_to(options);
  take_session(options);
  const PixelSize size = parse_size(options.size);
  const Look look{options.light, options.scale, options.font};
  if (options.frame_times > 0) {
    if (options.files.size() != 1) throw Error({"--frame-times", "one recording", std::to_string(options.files.size()) + " files", ""}, Fault::usage);
    const Json times = frame_times(options.files.front(), size, options.frame_times);
    std::fputs(options.json ? (times.dump(2) + "\n").c_str() : frame_times_text(times).c_str(), stdout);
    return;
  }
  if (!options.pack.empty()) return write_pack(options);
  if (!std::isfinite(options.scale)) throw Error({"--scale", "0.5 to 4", "no number", ""}, Fault::usage);
  if (!options.screenshot.empty() && !options.screenshot.ends_with(".png")) throw Error({"--screenshot", "a file that ends in .png", quoted(options.screenshot), ""}, Fault::usage);
  const bool picture = !options.screenshot.empty() || !options.exports.empty();
  if (picture && options.files.empty() && options.session.empty()) throw Error({"FILE", "recordings (.h5) or studies (study.json)", "none", "see --help"}, Fault::usage);
  Desk desk({.bytes = options.cache_megabytes << 20, .threads = available_cores(), .ready = wake_window});
  for (const std::string& file : options.files) desk.open_or_throw(file);
  select(options, desk);
  if (!options.panel.empty() && options.session.empty()) panel_named("--panel", options.panel, desk);
  for (std::size_t i = 0; i + 1 < options.exports.size(); i += 2) {
    if (options.session.empty()) panel_named("--export", options.exports[i], desk);
    export_panel(desk, {options.exports[i], options.exports[i + 1], size, look, options.session});
  }
  if (!options.exports.empty()) return;
  const auto make = [&] {
    auto workbench = std::make_unique<Workbench>(desk, look, options.panel);
    if (!options.session.empty()) open_session(*workbench, options.session);
    return workbench;
  };
  if (options.screenshot.empty()) return run_window("Vitrine", size, look, make);
  OffscreenSurface surface(size, look);
  const auto workbench = make();
  surface.settle([&] { return workbench->frame(); });
  write_png(options.screenshot, size, surface.pixels());
}

int parse_and_run(int argc, char** argv) {
  Options options;
  CLI::App app("Shows recordings and studies of Vitrine.", "vitrine-viewer");
  app.footer("Examples:\n  vitrine-viewer run.h5 --goto layer=5,head=3,query=17\n"
             "  vitrine-viewer f32.h5 q4.h5                        (the second one is compared with the first)\n"
             "  vitrine-viewer run.h5 --goto layer=5,head=3 --export attention map.svg --export heads scores.csv\n"
             "  vitrine-viewer run.h5 --pack run.html --heads L5H8   (a page that shows it in any browser)\n"
             "  vitrine-viewer run.h5 --screenshot all.png --size 1600x1000");
  app.add_option("FILE", options.files, "recordings (.h5), studies (study.json or their folder), results as JSON, a session (.vitrine)");
  app.add_option("--session", options.session, "a session that was saved (.vitrine)");
  app.add_option("--export", options.exports, "PANEL FILE: write what the panel shows as .png, .svg, .csv or .npy, without any display, and leave")->type_size(2)->type_name("PANEL FILE");
  app.add_option("--frame-times", options.frame_times, "draw so many frames of the recording without a display and print what they cost")->check(CLI::Range(10, 100000));
  app.add_flag("--json", options.json, "print --frame-times and --pack as JSON");
  app.add_option("--pack", options.pack, "write the maps of one text for a browser, and leave: FILE.vpack, or FILE.html with the page around it");
  app.add_option("--heads", options.pack_heads, "with --pack: heads whose maps are finer: L5H8,L3H2 or all")->delimiter(',');
  app.add_flag("--light", options.light, "a light look");
  app.add_option("--scale", options.scale, "size of everything (1)")->check(CLI::Range(0.5f, 4.0f));
  app.add_option("--font", options.font, "a font file for all text");
  app.add_option("--cache", options.cache_megabytes, "megabytes of tiles that are kept (256)")->check(CLI::Range(16, 1 << 20));
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
