#include "viewer/workbench/workbench.h"

#include <imgui.h>

#include <algorithm>

#include "core/base/error.h"
#include "viewer/draw/items.h"
#include "viewer/workbench/export.h"

namespace vitrine {
namespace {

std::vector<const Panel*> panels_in_order() {
  std::vector<const Panel*> panels(all_panels().begin(), all_panels().end());
  std::ranges::stable_sort(panels, {}, &Panel::place);
  return panels;
}

constexpr ImGuiWindowFlags alone_flags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings;

}  // namespace

DocumentPointer document_for(const Panel& panel, const Desk& desk) {
  if (panel.shows == nullptr) return nullptr;
  // The kind that was shown last counts: a panel that shows several kinds takes the first that fits.
  for (const DocumentKind kind : {DocumentKind::recording, DocumentKind::study, DocumentKind::patching, DocumentKind::analysis, DocumentKind::attribution, DocumentKind::benchmark}) {
    const DocumentPointer document = desk.shown(kind);
    if (document && panel.shows(*document)) return document;
  }
  for (const DocumentPointer& document : desk.documents()) {
    if (panel.shows(*document)) return document;
  }
  return nullptr;
}

bool available(const Panel& panel, const Desk& desk) { return panel.shows == nullptr || document_for(panel, desk) != nullptr; }

Workbench::Workbench(Desk& desk, const Look& look, const std::string& only) : desk_(desk), look_(look), only_(only) {
  for (const Panel* panel : panels_in_order()) {
    if (only_.empty() || only_ == panel->name) windows_.emplace_back().panel = panel;
  }
}

Workbench::~Workbench() = default;

void Workbench::make_view(PanelWindow& window) {
  if (window.view) window.state = window.view->state();
  window.view.reset();
  window.document = document_for(*window.panel, desk_);
  if (!available(*window.panel, desk_)) return;
  try {
    window.view = window.panel->make(window.document, desk_);
    window.view->restore(window.state);
  } catch (const std::exception& error) {
    desk_.warn(std::string(window.panel->title) + ": " + error.what());
  }
}

void Workbench::refresh_views() {
  if (seen_version_ == desk_.version()) return;
  seen_version_ = desk_.version();
  for (PanelWindow& window : windows_) make_view(window);
}

bool Workbench::frame() {
  desk_.tiles().begin_frame();
  desk_.watch();
  if (std::string error = desk_.tiles().take_error(); !error.empty()) desk_.warn(std::move(error));
  refresh_views();
  if (look_changed_) apply_look(look_);
  look_changed_ = false;
  if (only_.empty()) draw_menus();
  draw_panels();
  draw_messages();
  draw_prompt();
  run_keys(global_actions());
  if (palette_.is_open() || help_.is_open()) {  // everything that can be done is only gathered for who looks at it
    const std::vector<Action> actions = all_actions();
    palette_.draw(actions, [this](std::size_t layer, std::size_t head) { go_to(layer, head); });
    help_.draw(actions);
  }
  desk_.clamp_selection();
  note_history();
  bool busy = desk_.tiles().busy();
  for (const PanelWindow& window : windows_) busy |= window.open && window.view && ((window.seen && window.view->busy()) || window.to_front > 0);
  return busy;
}

void Workbench::run_keys(std::span<const Action> actions) const {
  for (const Action& action : actions) {
    if (action.chord != 0 && ImGui::Shortcut(action.chord, ImGuiInputFlags_RouteGlobal | ImGuiInputFlags_Repeat)) action.run();
  }
}

void Workbench::draw_panels() {
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  if (only_.empty()) {
    draw_status();
    const ImGuiID dock = ImGui::DockSpaceOverViewport();
    if (!layout_to_load_.empty()) {
      ImGui::LoadIniSettingsFromMemory(layout_to_load_.c_str(), layout_to_load_.size());
      layout_to_load_.clear();
      laid_out_ = true;
      bare_layout_ = false;
    }
    const bool any_recording = desk_.shown(DocumentKind::recording) != nullptr;
    if (bare_layout_ && any_recording) laid_out_ = false;  // nobody has arranged anything yet
    if (!laid_out_) {
      first_layout(dock);
      bare_layout_ = !any_recording;
    }
    laid_out_ = true;
  }
  if (!desk_.panel_to_show.empty()) show_panel(std::exchange(desk_.panel_to_show, {}));
  for (PanelWindow& window : windows_) {
    window.seen = false;
    if (!window.open && only_.empty()) continue;
    if (!only_.empty()) {
      ImGui::SetNextWindowPos(viewport->WorkPos);
      ImGui::SetNextWindowSize(viewport->WorkSize);
    } else if (!available(*window.panel, desk_)) {
      continue;  // nothing to show: no empty window
    }
    draw_panel(window);
  }
}

void Workbench::draw_panel(PanelWindow& window) {
  const std::string title = std::string(window.panel->title) + "###" + std::string(window.panel->name);
  if (window.to_front > 0 && --window.to_front == 0) ImGui::SetNextWindowFocus();
  // The frame is cleared to the windows' colour: filling it once more is what a processor that draws notices.
  const ImGuiWindowFlags background = window.docked || !only_.empty() ? ImGuiWindowFlags_NoBackground : 0;
  const bool drawn = ImGui::Begin(title.c_str(), only_.empty() ? &window.open : nullptr, (only_.empty() ? ImGuiWindowFlags_NoCollapse : alone_flags) | background);
  window.seen = drawn;
  window.docked = ImGui::IsWindowDocked();
  const ImVec2 at = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
  if (drawn) name_rectangle("panel/" + std::string(window.panel->name), {{at.x, at.y}, {at.x + size.x, at.y + size.y}});
  if (drawn && window.view) {
    try {
      const std::vector<Action> actions = window.view->actions(desk_);
      if (ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows)) {
        focused_ = window.panel->name;
        run_keys(actions);
      }
      window.view->draw(desk_);
    } catch (const std::exception& error) {
      desk_.warn(std::string(window.panel->title) + ": " + error.what());
      window.state = Json::object();
      window.view.reset();
    }
  } else if (drawn) {
    ImGui::TextWrapped("%s", window.panel->shows == nullptr || window.document == nullptr ? "No open file has anything for this panel." : "This could not be shown; the message at the lower right says why.");
  }
  ImGui::End();
}

void Workbench::draw_messages() {
  std::vector<Message>& messages = desk_.messages();
  if (messages.empty()) return;
  constexpr std::size_t most = 5;
  if (messages.size() > most) messages.erase(messages.begin(), messages.end() - most);
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos({viewport->WorkPos.x + viewport->WorkSize.x - 12.0f, viewport->WorkPos.y + viewport->WorkSize.y - 34.0f}, ImGuiCond_Always, {1.0f, 1.0f});
  ImGui::SetNextWindowSize({std::min(720.0f, viewport->WorkSize.x * 0.6f), 0.0f});
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoDocking |
                                     ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoNav;
  ImGui::Begin("##messages", nullptr, flags);
  std::optional<std::size_t> closed;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    ImGui::PushID(static_cast<int>(i));
    if (ImGui::SmallButton("x")) closed = i;
    name_item("message/" + std::to_string(i) + "/close");
    ImGui::SameLine();
    ImGui::PushTextWrapPos();
    if (messages[i].error) ImGui::PushStyleColor(ImGuiCol_Text, look_.light ? IM_COL32(170, 70, 0, 255) : IM_COL32(255, 170, 90, 255));
    ImGui::TextUnformatted(messages[i].text.c_str());
    if (messages[i].error) ImGui::PopStyleColor();
    ImGui::PopTextWrapPos();
    ImGui::PopID();
  }
  if (closed) messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(*closed));
  ImGui::End();
}

void Workbench::dropped(const std::vector<std::string>& files) {
  for (const std::string& file : files) open_anything(*this, file);
}

PanelView* Workbench::view(std::string_view panel) {
  refresh_views();
  const auto found = std::ranges::find_if(windows_, [&](const PanelWindow& window) { return window.panel->name == panel; });
  return found == windows_.end() ? nullptr : found->view.get();
}

void Workbench::show_panel(std::string_view panel) {
  for (PanelWindow& window : windows_) {
    if (window.panel->name == panel) window.open = true, window.to_front = 4;  // it may have to be docked first
  }
}

void Workbench::show_newest() {
  for (const PanelWindow& window : windows_) {
    const bool beside = window.panel->shows == nullptr || window.panel->name == "heads" || window.panel->name == "text";
    if (!beside && !desk_.documents().empty() && window.panel->shows(*desk_.documents().back())) return show_panel(window.panel->name);
  }
}

void Workbench::go_to(std::size_t layer, std::size_t head) {
  desk_.selection.layer = layer;
  desk_.selection.head = head;
  desk_.clamp_selection();
  if (desk_.selection.layer != layer || desk_.selection.head != head) desk_.warn("This recording has no L" + std::to_string(layer) + "H" + std::to_string(head) + ".");
  desk_.panel_to_show = "attention";
}

void Workbench::step_head(int by) {
  const DocumentPointer document = desk_.shown(DocumentKind::recording);
  if (!document) return;
  const auto modules = document->recording->modules();
  if (modules.empty()) return;
  desk_.selection.head = stepped(desk_.selection.head, modules[desk_.selection.layer].heads, by);
}

void Workbench::step_layer(int by) {
  const DocumentPointer document = desk_.shown(DocumentKind::recording);
  if (!document) return;
  const std::size_t layers = document->recording->modules().size();
  if (layers > 0) desk_.selection.layer = stepped(desk_.selection.layer, layers, by);
}

Json Workbench::looked_at() const {
  Json panels = Json::object();
  for (const PanelWindow& window : windows_) panels.set(window.panel->name, window.view ? window.view->state() : window.state);
  const ColorScale& scale = desk_.map_scale;
  Json colors = Json::object();
  colors.set("map", color_map_name(scale.colors)).set("spread", static_cast<int>(scale.spread)).set("low", static_cast<double>(scale.low)).set("high", static_cast<double>(scale.high));
  colors.set("mean", scale.reduction == Reduction::mean);
  return Json::object().set("selection", to_json(desk_.selection)).set("colors", colors).set("panels", panels);
}

void Workbench::look_at(const Json& state) {
  desk_.selection = selection_from_json(state["selection"], desk_.selection);
  const Json& colors = state["colors"];
  ColorScale& scale = desk_.map_scale;
  for (const ColorMap map : {ColorMap::viridis, ColorMap::cividis, ColorMap::greys}) {
    if (colors["map"].is_string() && colors["map"].string() == color_map_name(map)) scale.colors = map;
  }
  if (colors["spread"].is_integer()) scale.spread = static_cast<ColorSpread>(std::clamp<std::int64_t>(colors["spread"].integer(), 0, 2));
  if (colors["low"].is_number() && colors["high"].is_number() && colors["low"].number() < colors["high"].number()) {
    scale.low = static_cast<float>(colors["low"].number());
    scale.high = static_cast<float>(colors["high"].number());
  }
  if (colors["mean"].is_bool()) scale.reduction = colors["mean"].boolean() ? Reduction::mean : Reduction::largest;
  for (PanelWindow& window : windows_) {
    if (!state["panels"][window.panel->name].is_object()) continue;
    window.state = state["panels"][window.panel->name];
    if (window.view) window.view->restore(window.state);
  }
  desk_.clamp_selection();
}

void Workbench::note_history() {
  if (!only_.empty() || ImGui::IsMouseDown(ImGuiMouseButton_Left) || ImGui::IsAnyItemActive()) return;
  history_.note(looked_at());
}

}  // namespace vitrine
