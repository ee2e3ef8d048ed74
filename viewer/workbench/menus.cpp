#include <imgui.h>
#include <imgui_internal.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/base/error.h"
#include "viewer/data/remembered.h"
#include "viewer/draw/items.h"
#include "viewer/workbench/export.h"
#include "viewer/workbench/workbench.h"

// Menus, keys, the line at the bottom and questions of the workbench.

namespace vitrine {
namespace {

constexpr float smallest_scale = 0.5f, largest_scale = 4.0f;
constexpr std::size_t most_suggestions = 12;

/// Files in the folder of what was typed that begin like it.
std::vector<std::string> suggestions(const std::string& typed) {
  const std::filesystem::path path(typed);
  const std::filesystem::path folder = typed.ends_with('/') ? path : path.parent_path();
  const std::string begin = typed.ends_with('/') ? "" : path.filename().string();
  std::vector<std::string> found;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(folder.empty() ? "." : folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string(), ending = entry->path().extension().string();
    std::error_code ignored;
    const bool is_folder = entry->is_directory(ignored);
    if (name.starts_with('.') || !name.starts_with(begin) || !(is_folder || ending == ".h5" || ending == ".json" || ending == ".vitrine")) continue;
    found.push_back((folder / name).string() + (is_folder ? "/" : ""));
  }
  std::ranges::sort(found);
  if (found.size() > most_suggestions) found.resize(most_suggestions);
  return found;
}

void menu_item(const Action& action) {
  const std::string key = action.chord == 0 ? "" : ImGui::GetKeyChordName(action.chord);
  const std::string name = action.name.substr(action.name.find(": ") == std::string::npos ? 0 : action.name.find(": ") + 2);
  if (ImGui::MenuItem(name.c_str(), key.c_str())) action.run();
  name_item("menu/" + action.name);
}

}  // namespace

std::vector<Action> Workbench::global_actions() {
  std::vector<Action> actions{
      {"File: open...", ImGuiMod_Ctrl | ImGuiKey_O, [this] { ask("Open a recording, a study, results as JSON, or a session", "", [this](const std::string& file) { open_anything(*this, file); }); }},
      {"File: save session...", ImGuiMod_Ctrl | ImGuiKey_S, [this] {
         ask("Save the session as", "session.vitrine", [this](const std::string& file) {
           save_session(*this, file.ends_with(".vitrine") ? file : file + ".vitrine");
           desk_.tell("Saved " + file);
         });
       }},
      {"File: export what the panel shows...", ImGuiMod_Ctrl | ImGuiKey_E, [this] {
         const auto window = std::ranges::find_if(windows_, [&](const PanelWindow& each) { return each.panel->name == focused_ && each.view; });
         if (window == windows_.end()) return desk_.warn("Click into a panel first: what it shows is exported.");
         ask("Export " + std::string(window->panel->title) + " (.svg, .csv, .npy)", std::string(window->panel->name) + ".svg", [this, window](const std::string& file) { export_panel(*window, file); });
       }},
      {"File: quit", ImGuiMod_Ctrl | ImGuiKey_Q, [this] { close_ = true; }},
      {"Edit: undo", ImGuiMod_Ctrl | ImGuiKey_Z, [this] { if (history_.can_undo()) look_at(history_.undo()); }},
      {"Edit: redo", ImGuiMod_Ctrl | ImGuiKey_Y, [this] { if (history_.can_redo()) look_at(history_.redo()); }},
      {"Go: next head", ImGuiKey_Period, [this] { step_head(1); }},
      {"Go: previous head", ImGuiKey_Comma, [this] { step_head(-1); }},
      {"Go: next layer", ImGuiKey_PageDown, [this] { step_layer(1); }},
      {"Go: previous layer", ImGuiKey_PageUp, [this] { step_layer(-1); }},
      {"View: light or dark", ImGuiMod_Ctrl | ImGuiKey_L, [this] { set_look({!look_.light, look_.scale, look_.font}); }},
      {"View: larger", ImGuiMod_Ctrl | ImGuiKey_Equal, [this] { set_look({look_.light, look_.scale * 1.1f, look_.font}); }},
      {"View: smaller", ImGuiMod_Ctrl | ImGuiKey_Minus, [this] { set_look({look_.light, look_.scale / 1.1f, look_.font}); }},
      {"View: normal size", ImGuiMod_Ctrl | ImGuiKey_0, [this] { set_look({look_.light, 1.0f, look_.font}); }},
      {"View: first layout", 0, [this] { laid_out_ = false; }},
      {"Help: all commands", ImGuiMod_Ctrl | ImGuiKey_P, [this] { palette_.open(); }},
      {"Help: keys", ImGuiKey_F1, [this] { help_.toggle(); }},
  };
  if (!ImGui::GetIO().WantTextInput) actions.push_back({"Help: keys (?)", ImGuiMod_Shift | ImGuiKey_Slash, [this] { help_.toggle(); }});
  if (ImGui::GetIO().WantTextInput || palette_.is_open()) {  // letters are for the text then
    std::erase_if(actions, [](const Action& action) { return action.chord == ImGuiKey_Period || action.chord == ImGuiKey_Comma || action.chord == (ImGuiMod_Ctrl | ImGuiKey_Z); });
  }
  return actions;
}

std::vector<Action> Workbench::all_actions() {
  std::vector<Action> actions = global_actions();
  for (const PanelWindow& window : windows_) {
    if (available(*window.panel, desk_)) actions.push_back({"Show: " + std::string(window.panel->title), 0, [this, name = window.panel->name] { show_panel(name); }});
  }
  for (const DocumentPointer& document : desk_.documents()) {
    actions.push_back({"Show file: " + document->path.filename().string(), 0, [this, document] { desk_.show(document); }});
  }
  for (const PanelWindow& window : windows_) {
    if (!window.open || !window.view) continue;
    for (Action& action : window.view->actions(desk_)) actions.push_back(std::move(action));
  }
  return actions;
}

void Workbench::draw_menus() {
  if (!ImGui::BeginMainMenuBar()) return;
  const std::vector<Action> actions = global_actions();
  for (const char* group : {"File", "Edit", "Go", "View", "Help"}) {
    const bool opened = ImGui::BeginMenu(group);
    name_item("menu/" + std::string(group));
    if (!opened) continue;
    for (const Action& action : actions) {
      if (action.name.starts_with(group)) menu_item(action);
    }
    if (std::string_view(group) == "File" && ImGui::BeginMenu("recent files")) {
      for (const std::string& file : remembered("recent")) {
        if (ImGui::MenuItem(file.c_str())) open_anything(*this, file);
      }
      ImGui::EndMenu();
    }
    if (std::string_view(group) == "View") {
      ImGui::Separator();
      for (PanelWindow& window : windows_) {
        const bool can = available(*window.panel, desk_);
        if (ImGui::MenuItem(std::string(window.panel->title).c_str(), nullptr, window.open && can, can)) {
          window.open = !window.open;
          window.to_front = window.open ? 1 : 0;
        }
        name_item("menu/panel/" + std::string(window.panel->name));
      }
    }
    ImGui::EndMenu();
  }
  ImGui::EndMainMenuBar();
}

void Workbench::draw_status() {
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_MenuBar;
  if (ImGui::BeginViewportSideBar("##status", ImGui::GetMainViewport(), ImGuiDir_Down, ImGui::GetFrameHeight(), flags)) {
    if (ImGui::BeginMenuBar()) {
      const DocumentPointer document = desk_.shown(DocumentKind::recording);
      const Selection& selection = desk_.selection;
      if (document) {
        ImGui::Text("%s   layer %zu, head %zu", document->path.filename().c_str(), selection.layer, selection.head);
        if (selection.query) ImGui::Text("  query %zu", *selection.query);
        if (selection.key) ImGui::Text("  key %zu", *selection.key);
      } else {
        ImGui::TextDisabled("drop a recording or a study here, or Ctrl+O");
      }
      char cache[64];
      std::snprintf(cache, sizeof cache, "%stiles %.0f MB   %zu file%s", desk_.tiles().busy() ? "computing   " : "", static_cast<double>(desk_.tiles().bytes()) / 1048576.0, desk_.documents().size(), desk_.documents().size() == 1 ? "" : "s");
      ImGui::SameLine(ImGui::GetWindowWidth() - ImGui::CalcTextSize(cache).x - 12.0f);
      ImGui::TextDisabled("%s", cache);
      ImGui::EndMenuBar();
    }
  }
  ImGui::End();
}

/// Files and heads on the left, tokens below, everything else as tabs in the middle.
void Workbench::first_layout(unsigned dock) {
  const ImVec2 size = ImGui::GetMainViewport()->WorkSize;
  ImGui::DockBuilderRemoveNodeChildNodes(dock);
  ImGui::DockBuilderSetNodeSize(dock, size);
  ImGuiID middle = dock, files = 0;
  const bool any_recording = desk_.shown(DocumentKind::recording) != nullptr;
  ImGuiID left = ImGui::DockBuilderSplitNode(middle, ImGuiDir_Left, any_recording ? 0.27f : 0.22f, nullptr, &middle);
  const ImGuiID below = ImGui::DockBuilderSplitNode(middle, ImGuiDir_Down, 0.24f, nullptr, &middle);
  if (any_recording) files = ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.30f, nullptr, &left);
  const auto place = [](std::string_view panel, ImGuiID node) { ImGui::DockBuilderDockWindow(("###" + std::string(panel)).c_str(), node); };
  for (const PanelWindow& window : windows_) {
    const std::string_view name = window.panel->name;
    place(name, name == "recordings" ? (any_recording ? files : left) : name == "heads" ? left : name == "text" || name == "sentence" ? below : middle);
  }
  ImGui::DockBuilderFinish(dock);
  for (PanelWindow& window : windows_) window.to_front = window.panel->name == "text" ? 3 : 0;
  for (PanelWindow& window : windows_) {  // the first of the middle that has something
    const std::string_view name = window.panel->name;
    if (name == "recordings" || name == "heads" || name == "text" || name == "sentence" || !available(*window.panel, desk_)) continue;
    window.to_front = 4;  // the last, so that it has the focus
    break;
  }
}

void Workbench::ask(std::string question, std::string answer, std::function<void(const std::string&)> then) {
  prompt_ = {std::move(question), std::move(answer), std::move(then), true, true};
}

void Workbench::draw_prompt() {
  if (!prompt_.open) return;
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const float width = std::min(720.0f * ImGui::GetStyle().FontScaleMain, viewport->WorkSize.x - 20.0f);
  ImGui::SetNextWindowPos({viewport->WorkPos.x + (viewport->WorkSize.x - width) / 2, viewport->WorkPos.y + 80.0f});
  ImGui::SetNextWindowSize({width, 0.0f});
  if (prompt_.fresh) ImGui::SetNextWindowFocus();
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoDocking;
  std::string accepted;
  if (ImGui::Begin("##prompt", nullptr, flags)) {
    ImGui::TextUnformatted(prompt_.question.c_str());
    if (std::exchange(prompt_.fresh, false)) ImGui::SetKeyboardFocusHere();
    ImGui::SetNextItemWidth(-1.0f);
    if (ImGui::InputText("##answer", &prompt_.answer, ImGuiInputTextFlags_EnterReturnsTrue)) accepted = prompt_.answer;
    name_item("prompt/input");
    if (prompt_.question.starts_with("Open")) {
      for (const std::string& each : prompt_.answer.empty() ? remembered("recent") : suggestions(prompt_.answer)) {
        if (!ImGui::Selectable(each.c_str())) continue;
        (each.ends_with('/') ? prompt_.answer : accepted) = each;
        prompt_.fresh = each.ends_with('/');
      }
    }
    ImGui::TextDisabled("Enter to accept, Escape to leave");
    if (ImGui::IsKeyPressed(ImGuiKey_Escape)) prompt_.open = false;
  }
  ImGui::End();
  if (accepted.empty()) return;
  prompt_.open = false;
  try {
    prompt_.then(accepted);
  } catch (const std::exception& error) {
    desk_.warn(error.what());
  }
}

void Workbench::export_panel(const PanelWindow& window, const std::string& file) {
  if (!is_figure_file(file)) throw Error({file, "a file that ends in .svg, .csv or .npy", "another ending", "pictures: vitrine-viewer FILE --export " + std::string(window.panel->name) + " out.png"});
  export_figure(window.view->figure(desk_), file);
  desk_.tell("Wrote " + file);
}

void Workbench::set_look(const Look& look) {
  look_ = look;
  look_.scale = std::clamp(look_.scale, smallest_scale, largest_scale);
  look_changed_ = true;
}

}  // namespace vitrine
