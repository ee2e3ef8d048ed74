#include "viewer/draw/pickers.h"

#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>

#include "viewer/draw/fonts.h"
#include "viewer/draw/items.h"

namespace vitrine {

void pick_model(std::string_view item, std::string& model, const std::vector<std::string>& known) {
  const std::string name(item);
  ImGui::PushID(name.c_str());
  ImGui::SetNextItemWidth(-ImGui::GetFrameHeight() - ImGui::GetStyle().ItemInnerSpacing.x - 1.0f);
  ImGui::InputTextWithHint("##model", "model: a GGUF or safetensors file, a Hugging Face folder, or hf:NAME", &model);
  name_item(name + "/model");
  ImGui::SameLine(0.0f, ImGui::GetStyle().ItemInnerSpacing.x);
  ImGui::SetNextWindowSizeConstraints({20.0f * ImGui::GetFontSize(), 0.0f}, {60.0f * ImGui::GetFontSize(), 20.0f * ImGui::GetFontSize()});
  if (ImGui::BeginCombo("##models", nullptr, ImGuiComboFlags_NoPreview | ImGuiComboFlags_PopupAlignLeft)) {
    if (known.empty()) ImGui::TextDisabled("no model was run yet");
    for (std::size_t i = 0; i < known.size(); ++i) {
      ImGui::PushID(static_cast<int>(i));
      if (ImGui::Selectable(drawable(known[i]).c_str(), known[i] == model)) model = known[i];
      name_item(name + "/models/" + std::to_string(i));
      ImGui::PopID();
    }
    ImGui::EndCombo();
  }
  name_item(name + "/models");
  ImGui::PopID();
}

bool pick_place(const char* label, std::string_view item, std::size_t& place, const std::vector<std::string>& words, float width) {
  bool changed = false;
  ImGui::SetNextItemWidth(width * ImGui::GetFontSize());
  const std::string shown = place < words.size() ? drawable(words[place]) : "";
  const bool opened = ImGui::BeginCombo(label, shown.c_str(), ImGuiComboFlags_HeightLarge);
  name_item(item);
  if (!opened) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    ImGui::PushID(static_cast<int>(i));
    if (ImGui::Selectable(drawable(words[i]).c_str(), i == place)) {
      changed = i != place;
      place = i;
    }
    name_item(std::string(item) + "/" + std::to_string(i));
    if (i == place && ImGui::IsWindowAppearing()) ImGui::SetScrollHereY();
    ImGui::PopID();
  }
  ImGui::EndCombo();
  return changed;
}

bool pick_word(const char* label, std::string_view item, std::string& word, const std::vector<std::string>& words, float width) {
  std::size_t place = static_cast<std::size_t>(std::ranges::find(words, word) - words.begin());
  if (!pick_place(label, item, place, words, width)) return false;
  word = words[place];
  return true;
}

}  // namespace vitrine
