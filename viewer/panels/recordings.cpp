#include <imgui.h>

#include <algorithm>
#include <map>

#include "viewer/draw/fonts.h"
#include "viewer/draw/items.h"
#include "viewer/panel.h"

// The open files: which are shown, where they come from, what they hold.

namespace vitrine {
namespace {

std::string size_words(double bytes) {
  char text[32];
  if (bytes < 1e6) std::snprintf(text, sizeof text, "%.0f kB", bytes / 1e3);
  else if (bytes < 1e9) std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
  else std::snprintf(text, sizeof text, "%.2f GB", bytes / 1e9);
  return text;
}

std::string shape_words(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// Datasets as a tree by the parts of their names.
struct Branch {
  std::map<std::string, Branch> branches;
  const Recording::Dataset* leaf = nullptr;
  std::size_t bytes = 0;
};

Branch tree_of(const Recording& recording) {
  Branch root;
  for (const Recording::Dataset& dataset : recording.activations()) {
    Branch* at = &root;
    at->bytes += dataset.bytes;
    for (std::string_view rest = dataset.name; !rest.empty();) {
      rest.remove_prefix(rest.front() == '/' || rest.front() == '.' ? 1 : 0);
      const std::size_t end = std::min(rest.find_first_of("/."), rest.size());
      at = &at->branches[std::string(rest.substr(0, end))];
      at->bytes += dataset.bytes;
      rest.remove_prefix(end);
    }
    at->leaf = &dataset;
  }
  return root;
}

void draw_branch(const std::string& name, const Branch& branch) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  const bool leaf = branch.branches.empty();
  const bool opened = ImGui::TreeNodeEx(name.c_str(), leaf ? ImGuiTreeNodeFlags_Leaf | ImGuiTreeNodeFlags_NoTreePushOnOpen | ImGuiTreeNodeFlags_SpanFullWidth : ImGuiTreeNodeFlags_SpanFullWidth);
  ImGui::TableNextColumn();
  if (branch.leaf != nullptr) ImGui::Text("%s %s", branch.leaf->type.c_str(), shape_words(branch.leaf->shape).c_str());
  ImGui::TableNextColumn();
  ImGui::TextUnformatted(size_words(static_cast<double>(branch.bytes)).c_str());
  if (leaf || !opened) return;
  for (const auto& [part, below] : branch.branches) draw_branch(part, below);
  ImGui::TreePop();
}

std::string words_of(const Json& json) { return json.is_string() ? json.string() : json.is_object() || json.is_array() ? json.dump() : json.dump(); }

class RecordingsView : public PanelView {
 public:
  void draw(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  void draw_files(Desk& desk);
  void draw_file_menu(Desk& desk, const DocumentPointer& document);
  void draw_recording(Desk& desk, const Document& document);
  static FigureTable provenance_table(const Document& document);
  DocumentPointer tree_of_;
  Branch tree_;
};

void RecordingsView::draw_file_menu(Desk& desk, const DocumentPointer& document) {
  if (!ImGui::BeginPopupContextItem()) return;
  if (ImGui::MenuItem("show")) desk.show(document);
  if (document->kind == DocumentKind::recording && ImGui::MenuItem("compare others with this")) desk.set_reference(document);
  if (desk.reference() == document && ImGui::MenuItem("compare with nothing")) desk.set_reference(nullptr);
  if (ImGui::MenuItem("copy path")) ImGui::SetClipboardText(document->path.c_str());
  if (ImGui::MenuItem("close")) desk.close(document);
  ImGui::EndPopup();
}

void RecordingsView::draw_files(Desk& desk) {
  const std::vector<DocumentPointer> documents = desk.documents();
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const DocumentPointer& document = documents[i];
    const bool shown = desk.shown(document->kind) == document, reference = desk.reference() == document;
    ImGui::PushID(static_cast<int>(i));
    // Every study is called study.json: its folder says which.
    const std::filesystem::path& path = document->path;
    const std::string name = document->kind == DocumentKind::study ? (path.parent_path().filename() / path.filename()).string() : path.filename().string();
    const std::string label = drawable(name) + (reference ? "   (reference)" : "");
    if (ImGui::Selectable(label.c_str(), shown)) desk.show(document);
    name_item("recordings/file/" + std::to_string(i));
    if (ImGui::IsItemHovered()) ImGui::SetTooltip("%s\n%s, %s\nright click: compare, close", document->path.c_str(), std::string(document_kind_name(document->kind)).c_str(), size_words(static_cast<double>(document->bytes)).c_str());
    draw_file_menu(desk, document);
    ImGui::PopID();
  }
  const DocumentPointer shown = desk.shown(DocumentKind::recording), reference = desk.reference();
  if (shown && reference && shown != reference) {
    if (ImGui::SmallButton("exchange shown and reference")) {
      desk.show(reference);
      desk.set_reference(shown);
    }
    name_item("recordings/exchange");
  }
}

FigureTable RecordingsView::provenance_table(const Document& document) {
  FigureTable table{"Provenance of " + document.path.filename().string(), {"what", "value"}, {}};
  for (const auto& [name, value] : document.recording->provenance().members()) {
    if (value.is_object()) {
      for (const auto& [inner, held] : value.members()) table.rows.push_back({name + "." + inner, words_of(held)});
    } else {
      table.rows.push_back({name, words_of(value)});
    }
  }
  return table;
}

void RecordingsView::draw_recording(Desk& desk, const Document& document) {
  const Recording& recording = *document.recording;
  ImGui::SeparatorText(document.path.filename().c_str());
  std::size_t tokens = 0;
  for (std::size_t s = 0; s < recording.sequences(); ++s) tokens += recording.rows_of(s).count;
  ImGui::TextWrapped("%zu sequence%s, %zu tokens, %zu attention modules, %s%s", recording.sequences(), recording.sequences() == 1 ? "" : "s", tokens, recording.modules().size(),
                     size_words(static_cast<double>(document.bytes)).c_str(), recording.finished() ? "" : ", still being written (or its writer was stopped)");
  if (recording.sequences() > 1 && ImGui::TreeNode("sequences")) {
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(recording.sequences()));
    while (clipper.Step()) {
      for (int s = clipper.DisplayStart; s < clipper.DisplayEnd; ++s) {
        const auto sequence = static_cast<std::size_t>(s);
        char text[48];
        std::snprintf(text, sizeof text, "%d: %zu tokens", s, recording.rows_of(sequence).count);
        if (ImGui::Selectable(text, desk.selection.sequence == sequence)) desk.selection = {desk.selection.layer, desk.selection.head, sequence, {}, {}};
      }
    }
    ImGui::TreePop();
  }
  if (ImGui::TreeNodeEx("provenance")) {
    name_item("recordings/provenance");
    for (const std::vector<std::string>& row : provenance_table(document).rows) {
      ImGui::TextDisabled("%s", row[0].c_str());
      ImGui::SameLine();
      ImGui::TextWrapped("%s", drawable(row[1]).c_str());
    }
    ImGui::TreePop();
  }
  if (ImGui::TreeNode("datasets")) {
    if (ImGui::BeginTable("tree", 3, ImGuiTableFlags_RowBg | ImGuiTableFlags_Resizable)) {
      ImGui::TableSetupColumn("name", ImGuiTableColumnFlags_WidthStretch, 2.0f);
      ImGui::TableSetupColumn("type and shape", ImGuiTableColumnFlags_WidthStretch, 1.6f);
      ImGui::TableSetupColumn("bytes", ImGuiTableColumnFlags_WidthStretch, 0.8f);
      ImGui::TableHeadersRow();
      for (const auto& [name, branch] : tree_.branches) draw_branch(name, branch);
      ImGui::EndTable();
    }
    ImGui::TreePop();
  }
}

void RecordingsView::draw(Desk& desk) {
  if (desk.documents().empty()) {
    ImGui::TextWrapped("Drop a recording (.h5) or the results of a study (study.json) onto this window, or press Ctrl+O.");
    ImGui::Spacing();
    ImGui::TextWrapped("Recordings are made by\n  vitrine record MODEL --text \"...\" -o run.h5");
    return;
  }
  draw_files(desk);
  const DocumentPointer document = desk.shown(DocumentKind::recording);
  if (!document) return;
  if (tree_of_ != document) {
    tree_of_ = document;
    tree_ = tree_of(*document->recording);
  }
  draw_recording(desk, *document);
}

Figure RecordingsView::figure(Desk& desk) {
  Figure figure{.title = "Open files"};
  FigureTable files{"Files", {"file", "kind", "bytes"}, {}};
  for (const DocumentPointer& document : desk.documents()) files.rows.push_back({document->path.string(), std::string(document_kind_name(document->kind)), std::to_string(document->bytes)});
  figure.tables.push_back(std::move(files));
  const DocumentPointer document = desk.shown(DocumentKind::recording);
  if (!document) return figure;
  figure.tables.push_back(provenance_table(*document));
  FigureTable datasets{"Datasets", {"name", "type", "shape", "bytes"}, {}};
  for (const Recording::Dataset& each : document->recording->activations()) datasets.rows.push_back({each.name, each.type, shape_words(each.shape), std::to_string(each.bytes)});
  figure.tables.push_back(std::move(datasets));
  return figure;
}

}  // namespace

const Panel& panel_recordings() {
  static const Panel panel{.name = "recordings", .title = "Recordings", .summary = "open files, where they come from, what they hold", .place = 10, .shows = nullptr,
                           .make = [](const DocumentPointer&, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<RecordingsView>(); }};
  return panel;
}

}  // namespace vitrine
