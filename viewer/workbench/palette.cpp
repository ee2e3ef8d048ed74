#include "viewer/workbench/palette.h"

#include <imgui.h>
#include <imgui_internal.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr std::size_t most_shown = 14;

char lower(char letter) { return static_cast<char>(std::tolower(static_cast<unsigned char>(letter))); }

std::string key_name(const Action& action) { return action.chord == 0 ? "" : ImGui::GetKeyChordName(action.chord); }

struct Found {
  int score = 0;
  const Action* action = nullptr;
};

std::vector<Found> matching(std::span<const Action> actions, std::string_view typed) {
  std::vector<Found> found;
  for (const Action& action : actions) {
    if (const auto score = match_score(typed, action.name)) found.push_back({*score, &action});
  }
  std::ranges::stable_sort(found, std::greater<>(), &Found::score);
  return found;
}

}  // namespace

std::optional<std::pair<std::size_t, std::size_t>> typed_head(std::string_view words) {
  std::size_t numbers[2] = {}, count = 0;
  bool separated = true;
  for (std::size_t i = 0; i < words.size();) {
    const char letter = lower(words[i]);
    if (std::isdigit(static_cast<unsigned char>(letter))) {
      if (count == 2 || !separated) return std::nullopt;
      const auto [end, failed] = std::from_chars(words.data() + i, words.data() + words.size(), numbers[count++]);
      if (failed != std::errc()) return std::nullopt;
      i = static_cast<std::size_t>(end - words.data());
      separated = false;
      continue;
    }
    const bool fits = (letter == 'l' && count == 0) || (letter == 'h' && count == 1) || (letter == '.' && count == 1) || letter == ' ';
    if (!fits) return std::nullopt;
    separated = true;
    ++i;
  }
  return count == 2 ? std::optional(std::pair(numbers[0], numbers[1])) : std::nullopt;
}

std::optional<int> match_score(std::string_view typed, std::string_view name) {
  int score = 0;
  std::size_t at = 0;
  bool together = false;
  for (const char letter : typed) {
    if (letter == ' ') {
      together = false;
      continue;
    }
    std::size_t next = at;
    while (next < name.size() && lower(name[next]) != lower(letter)) ++next;
    if (next == name.size()) return std::nullopt;
    const bool begins_word = next == 0 || !std::isalnum(static_cast<unsigned char>(name[next - 1]));
    score += (together && next == at ? 8 : 0) + (begins_word ? 6 : 0) - static_cast<int>(std::min<std::size_t>(next - at, 5));
    at = next + 1;
    together = true;
  }
  return score;
}

void Palette::open() {
  open_ = focus_ = true;
  typed_.clear();
  chosen_ = 0;
}

void Palette::draw(std::span<const Action> actions, const std::function<void(std::size_t, std::size_t)>& go_to) {
  if (!open_) return;
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  const float width = std::min(640.0f * ImGui::GetStyle().FontScaleMain, viewport->WorkSize.x - 20.0f);
  ImGui::SetNextWindowPos({viewport->WorkPos.x + (viewport->WorkSize.x - width) / 2, viewport->WorkPos.y + 40.0f});
  ImGui::SetNextWindowSize({width, 0.0f});
  if (focus_) ImGui::SetNextWindowFocus();
  constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoNav;
  if (ImGui::Begin("##palette", nullptr, flags)) {
    if (focus_) ImGui::SetKeyboardFocusHere();
    const bool just_opened = std::exchange(focus_, false);
    ImGui::SetNextItemWidth(-1.0f);
    if (ImGui::InputTextWithHint("##typed", "a command, or a head as L5H8", &typed_)) chosen_ = 0;
    name_item("palette/input");
    const std::vector<Found> found = matching(actions, typed_);
    const auto head = typed_head(typed_);
    const std::size_t count = std::min(found.size(), most_shown) + (head ? 1 : 0);
    if (ImGui::IsKeyPressed(ImGuiKey_DownArrow) && chosen_ + 1 < count) ++chosen_;
    if (ImGui::IsKeyPressed(ImGuiKey_UpArrow) && chosen_ > 0) --chosen_;
    const bool enter = ImGui::IsKeyPressed(ImGuiKey_Enter) || ImGui::IsKeyPressed(ImGuiKey_KeypadEnter);
    std::function<void()> run;
    std::size_t line = 0;
    const auto row = [&](const std::string& name, const std::string& key, const std::function<void()>& action) {
      ImGui::PushID(static_cast<int>(line));
      const bool clicked = ImGui::Selectable("##row", line == chosen_);
      name_item("palette/" + name);
      ImGui::SameLine(8.0f);
      ImGui::TextUnformatted(name.c_str());
      if (!key.empty()) {
        ImGui::SameLine(ImGui::GetContentRegionMax().x - ImGui::CalcTextSize(key.c_str()).x);
        ImGui::TextDisabled("%s", key.c_str());
      }
      ImGui::PopID();
      if (clicked || (enter && line == chosen_)) run = action;
      ++line;
    };
    if (head) row("Go to L" + std::to_string(head->first) + "H" + std::to_string(head->second), "", [&] { go_to(head->first, head->second); });
    for (std::size_t i = 0; i < std::min(found.size(), most_shown); ++i) row(found[i].action->name, key_name(*found[i].action), found[i].action->run);
    if (line == 0) ImGui::TextDisabled("nothing of that name");
    const bool left = !just_opened && !ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows);
    if (run || left || ImGui::IsKeyPressed(ImGuiKey_Escape)) open_ = false;
    if (run) run();
  }
  ImGui::End();
}

void HelpWindow::draw(std::span<const Action> actions) {
  if (!open_) return;
  const ImGuiViewport* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos(viewport->GetCenter(), ImGuiCond_Appearing, {0.5f, 0.5f});
  ImGui::SetNextWindowSize({std::min(620.0f, viewport->WorkSize.x - 20.0f), std::min(640.0f, viewport->WorkSize.y - 40.0f)}, ImGuiCond_Appearing);
  if (ImGui::Begin("Keys and commands", &open_, ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoSavedSettings)) {
    name_rectangle("help", {{ImGui::GetWindowPos().x, ImGui::GetWindowPos().y}, {ImGui::GetWindowPos().x + ImGui::GetWindowWidth(), ImGui::GetWindowPos().y + ImGui::GetWindowHeight()}});
    ImGui::TextDisabled("Everything here is also in the palette: Ctrl+P. Tab and the arrow keys reach every control.");
    if (ImGui::BeginTable("keys", 2, ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY)) {
      ImGui::TableSetupColumn("command", ImGuiTableColumnFlags_WidthStretch);
      ImGui::TableSetupColumn("key", ImGuiTableColumnFlags_WidthFixed, 130.0f * ImGui::GetStyle().FontScaleMain);
      for (const Action& action : actions) {
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(action.name.c_str());
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(key_name(action).c_str());
      }
      ImGui::EndTable();
    }
    if (ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows) && ImGui::IsKeyPressed(ImGuiKey_Escape)) open_ = false;
  }
  ImGui::End();
}

}  // namespace vitrine
