#include <imgui.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "viewer/workbench/workbench.h"

// A session: which files are open, what is looked at, and where panels stand. {"vitrine_session": 1, ...}; files are named from where the
// session stands, so that a folder can be moved with both.

namespace vitrine {
namespace {

constexpr std::int64_t version = 1;
constexpr std::size_t most_files = 100;

std::string named_from(const std::filesystem::path& file, const std::filesystem::path& folder) {
  const std::filesystem::path relative = std::filesystem::absolute(file).lexically_relative(folder);
  return relative.empty() || relative.string().starts_with("../../..") ? std::filesystem::absolute(file).string() : relative.string();
}

/// Whether a layout's nodes are a tree: each has an own number, and a parent that was named before. ImGui follows parents without end.
bool is_tree(const std::string& layout) {
  std::set<unsigned long> known;
  std::istringstream lines(layout);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("DockNode") == std::string::npos && line.find("DockSpace") == std::string::npos) continue;
    const std::size_t id = line.find("ID=0x"), parent = line.find("Parent=0x");
    if (id == std::string::npos) return false;
    if (parent != std::string::npos && !known.contains(std::strtoul(line.c_str() + parent + 9, nullptr, 16))) return false;
    if (!known.insert(std::strtoul(line.c_str() + id + 5, nullptr, 16)).second) return false;
  }
  return true;
}

}  // namespace

Json Workbench::session(const std::filesystem::path& beside) const {
  Json files = Json::array(), open = Json::object();
  for (const DocumentPointer& document : desk_.documents()) {
    Json file = Json::object().set("path", named_from(document->path, beside)).set("kind", document_kind_name(document->kind));
    if (desk_.shown(document->kind) == document) file.set("shown", true);
    if (desk_.reference() == document) file.set("reference", true);
    files.push(file);
  }
  for (const PanelWindow& window : windows_) open.set(window.panel->name, window.open);
  const char* layout = ImGui::SaveIniSettingsToMemory();
  return Json::object()
      .set("vitrine_session", version)
      .set("files", files)
      .set("looked_at", looked_at())
      .set("open", open)
      .set("light", look_.light)
      .set("scale", static_cast<double>(look_.scale))
      .set("layout", layout);
}

void Workbench::load_session(const Json& session, const std::filesystem::path& beside) {
  if (!session["vitrine_session"].is_integer() || session["vitrine_session"].integer() != version || !session["files"].is_array()) {
    throw Error({"session", "{\"vitrine_session\": 1, \"files\": [...], ...}", "other JSON", "File: save session... writes one"});
  }
  if (session["files"].items().size() > most_files) throw Error({"session", "at most 100 files", std::to_string(session["files"].items().size()), ""});
  DocumentPointer reference;
  for (const Json& file : session["files"].items()) {
    if (!file["path"].is_string()) continue;
    const DocumentPointer document = desk_.open(beside / file["path"].string());  // an absolute one stays as it is
    if (!document) continue;
    if (file["shown"].is_bool() && file["shown"].boolean()) desk_.show(document);
    if (file["reference"].is_bool() && file["reference"].boolean()) reference = document;
  }
  desk_.set_reference(reference);
  for (PanelWindow& window : windows_) {
    if (session["open"][window.panel->name].is_bool()) window.open = session["open"][window.panel->name].boolean();
  }
  const double scale = session["scale"].is_number() ? session["scale"].number() : 1.0;
  const bool light = session["light"].is_bool() ? session["light"].boolean() : look_.light;
  set_look({light, static_cast<float>(std::clamp(scale, 0.5, 4.0)), look_.font});
  if (session["layout"].is_string()) {
    if (!is_tree(session["layout"].string())) throw Error({"session", "a layout whose nodes are a tree", "nodes without a parent, or twice", "leave \"layout\" out"});
    layout_to_load_ = session["layout"].string();
  }
  refresh_views();
  look_at(session["looked_at"]);
}

}  // namespace vitrine
