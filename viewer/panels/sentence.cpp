#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include <memory>
#include <vector>

#include "core/base/error.h"
#include "viewer/data/remembered.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/pickers.h"
#include "viewer/panel.h"

// Any sentence through any model: `vitrine record` runs beside this window, its recording is opened when it is there.

namespace vitrine {
namespace {

constexpr const char* job_name = "sentence";
const std::vector<std::string> precisions{"fast", "exact", "int8"};

class SentenceView : public PanelView {
 public:
  explicit SentenceView(Desk& desk) : models_(desk.models()) {
    if (!models_.empty()) model_ = models_.front();
  }
  void draw(Desk& desk) override;
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  void draw_options();
  void draw_run(Desk& desk);
  void run(Desk& desk);

  std::vector<std::string> models_;
  std::string model_, text_ = "The nurse said that she would be late.", precision_ = "fast", kernel_, file_;
};

Json SentenceView::state() const {
  return Json::object().set("model", model_).set("text", text_).set("precision", precision_).set("kernel", kernel_).set("file", file_);
}

void SentenceView::restore(const Json& json) {
  const auto take = [&](const char* name, std::string& value) {
    if (json[name].is_string()) value = json[name].string();
  };
  for (const auto& [name, value] : {std::pair("model", &model_), std::pair("text", &text_), std::pair("precision", &precision_), std::pair("kernel", &kernel_), std::pair("file", &file_)}) take(name, *value);
}

std::vector<Action> SentenceView::actions(Desk& desk) {
  return {{"Sentence: run", ImGuiMod_Ctrl | ImGuiKey_Enter, [this, &desk] { run(desk); }},
          {"Sentence: cancel the run", 0, [&desk] {
             if (RecordJob* job = desk.recording(job_name)) job->cancel();
           }}};
}

void SentenceView::run(Desk& desk) {
  if (desk.recording(job_name) != nullptr) return desk.warn("A run is under way: wait for it, or cancel it.");
  RecordOrder order;
  order.model = model_, order.texts = {text_}, order.precision = precision_, order.kernel = kernel_, order.file = file_;
  order.name = "sentence";
  try {
    desk.record(job_name, order, [](Desk& at, const DocumentPointer& recording) {
      at.selection.sequence = 0, at.selection.query = {}, at.selection.key = {};
      at.panel_to_show = recording->recording->modules().empty() ? "recordings" : "attention";
    });
    remember("models", model_);
  } catch (const std::exception& error) {
    desk.warn(error.what());
  }
}

void SentenceView::draw_options() {
  const float size = ImGui::GetFontSize();
  pick_word("precision", "sentence/precision", precision_, precisions, 6.0f);
  ImGui::SameLine(0.0f, size);
  ImGui::SetNextItemWidth(12.0f * size);
  ImGui::InputTextWithHint("kernel", "auto", &kernel_);
  name_item("sentence/kernel");
  ImGui::SetItemTooltip("as --kernel takes it: flash, sliding_window:window=256, ...; `vitrine list kernels` names them");
  const float needed = 24.0f * size;
  if (ImGui::GetContentRegionAvail().x > 50.0f * size) ImGui::SameLine(0.0f, size);
  ImGui::SetNextItemWidth(std::min(needed, ImGui::GetContentRegionAvail().x * 0.6f));
  ImGui::InputTextWithHint("keep as", "a file; else it goes with this window", &file_);
  name_item("sentence/file");
}

void SentenceView::draw_run(Desk& desk) {
  RecordJob* job = desk.recording(job_name);
  if (job == nullptr) {
    ImGui::BeginDisabled(model_.empty());
    if (ImGui::Button("run and look (Ctrl+Enter)")) run(desk);
    name_item("sentence/run");
    ImGui::EndDisabled();
    if (model_.empty()) ImGui::SameLine(), ImGui::TextDisabled("name a model first");
    return;
  }
  if (ImGui::Button("cancel")) job->cancel();
  name_item("sentence/cancel");
  ImGui::SameLine();
  const std::string words = job->progress();
  ImGui::TextDisabled("%s", words.empty() ? "opening the model ..." : drawable(words).c_str());
}

void SentenceView::draw(Desk& desk) {
  // A field that is written in keeps this chord from the actions.
  if (ImGui::IsAnyItemActive() && ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows) && ImGui::IsKeyChordPressed(ImGuiMod_Ctrl | ImGuiKey_Enter)) run(desk);
  pick_model("sentence", model_, models_);
  const float below = 3.4f * ImGui::GetFrameHeightWithSpacing();
  ImGui::InputTextMultiline("##text", &text_, {-1.0f, std::max(2.5f * ImGui::GetTextLineHeight(), ImGui::GetContentRegionAvail().y - below)}, ImGuiInputTextFlags_WordWrap);
  name_item("sentence/text");
  draw_options();
  draw_run(desk);
}

Figure SentenceView::figure(Desk&) {
  FigureTable table{"Run", {"what", "value"}, {{"model", model_}, {"text", text_}, {"precision", precision_}, {"kernel", kernel_.empty() ? "auto" : kernel_}}};
  return {.title = "Try a sentence", .tables = {std::move(table)}};
}

}  // namespace

const Panel& panel_sentence() {
  static const Panel panel{.name = "sentence", .title = "Try a sentence", .summary = "run a text through a model and look at its recording", .place = 100, .shows = nullptr,
                           .make = [](const DocumentPointer&, Desk& desk) -> std::unique_ptr<PanelView> { return std::make_unique<SentenceView>(desk); }};
  return panel;
}

}  // namespace vitrine
