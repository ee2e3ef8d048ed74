#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "viewer/data/background.h"
#include "viewer/data/remembered.h"
#include "viewer/data/study_items.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/forest.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/pair_table.h"
#include "viewer/draw/pickers.h"
#include "viewer/draw/surface.h"
#include "viewer/panel.h"

// The results of a study, from a number to what it is made of: estimate, items behind it, the two sentences of a pair, their tokens, the heads
// through which the difference goes, the recorded attention.

namespace vitrine {
namespace {

constexpr float wide_in_letters = 75.0f;  // from here on lists stand beside the estimates
constexpr std::size_t most_heads = 12, most_table_rows = 2000;
constexpr const char* job_name = "bias";

std::string text_of(const Json& json) { return json.is_string() ? json.string() : json.is_null() ? "" : json.dump(); }

class BiasView : public PanelView {
 public:
  BiasView(const DocumentPointer& document, Desk& desk);
  void draw(Desk& desk) override;
  bool busy() const override { return loading_ && !loading_->done(); }
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  const Json& study() const { return document_->json; }
  void take_items();
  void choose_estimate(std::optional<std::size_t> place);
  void list_items();
  void step_item(int by);
  bool hidden() const { return revealed().lock() != document_; }
  /// The study whose texts were asked for. Not kept in sessions: who opens one has not asked.
  static std::weak_ptr<const Document>& revealed();

  void draw_header() const;
  void draw_estimates();
  void draw_tables() const;
  void draw_crumbs();
  void draw_items();
  void draw_item_row(std::size_t place);
  void draw_item(Desk& desk);
  void draw_sentences();
  void draw_numbers() const;
  void draw_run(Desk& desk);
  void draw_tokens(Desk& desk);
  void draw_heads(Desk& desk);
  void run_pair(Desk& desk, std::function<void(Desk&, const DocumentPointer&)> then);
  void show_head(Desk& desk, const HeadEffect& effect);

  DocumentPointer document_;
  std::vector<std::string> models_;
  std::string model_, filter_;
  std::unique_ptr<Background<ItemTable>> loading_;
  std::optional<ItemTable> items_;
  std::string items_error_;
  std::optional<std::size_t> estimate_, item_;  // chosen: places in the estimates, in the items
  std::vector<std::size_t> listed_;             // rows of the items, as they are listed
  std::size_t sort_column_ = 0;
  bool descending_ = true, scroll_ = false, leave_ = false;  // leave: back to all estimates when the frame is drawn
  std::optional<std::size_t> paired_item_;      // whose pair was looked for
  std::optional<RecordedPair> pair_;
  DocumentPointer mediation_;
  std::vector<HeadEffect> heads_;
};

std::weak_ptr<const Document>& BiasView::revealed() {
  static std::weak_ptr<const Document> study;
  return study;
}

BiasView::BiasView(const DocumentPointer& document, Desk& desk) : document_(document), models_(desk.models()) {
  const std::string name = text_of(study()["signature"]["model"]);
  for (const std::string& each : models_) {
    if (model_.empty() && !name.empty() && std::filesystem::path(each).filename() == name) model_ = each;
  }
  for (const DocumentPointer& each : desk.documents()) {
    if (heads_.empty() && each->kind == DocumentKind::study && text_of(each->json["study"]) == "mediation") mediation_ = each, heads_ = head_effects(*each);
  }
  heads_.resize(std::min(heads_.size(), most_heads));
  const std::filesystem::path path = items_beside(document->path);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    loading_ = std::make_unique<Background<ItemTable>>([path](Run&) { return read_items(path); }, wake_window);
  } else {
    items_error_ = "items.csv does not lie beside the study: there are no items to look at.";
  }
}

Json BiasView::state() const {
  Json json = Json::object().set("model", model_).set("filter", filter_);
  if (estimate_) json.set("estimate", std::uint64_t{*estimate_});
  if (item_) json.set("item", std::uint64_t{*item_});
  return json;
}

void BiasView::restore(const Json& json) {
  const auto place = [](const Json& each) { return each.is_integer() && each.integer() >= 0 ? std::optional(static_cast<std::size_t>(each.integer())) : std::nullopt; };
  if (json["model"].is_string() && !json["model"].string().empty()) model_ = json["model"].string();
  filter_ = json["filter"].is_string() ? json["filter"].string() : "";
  const auto estimate = place(json["estimate"]), item = place(json["item"]);
  if (estimate != estimate_) choose_estimate(estimate && *estimate < document_->estimates.size() ? estimate : std::nullopt);
  item_ = estimate_ && !(items_ && item >= items_->rows()) ? item : std::nullopt;  // not read yet: take_items() looks again
  scroll_ = item_.has_value();
}

void BiasView::take_items() {
  if (!loading_ || !loading_->done()) return;
  if (loading_->answer()) items_ = std::move(*loading_->answer());
  items_error_ = loading_->error();
  loading_.reset();
  if (item_ && (!items_ || *item_ >= items_->rows())) item_.reset();
  if (estimate_) choose_estimate(estimate_);
}

void BiasView::choose_estimate(std::optional<std::size_t> place) {
  if (place != estimate_) item_.reset();
  estimate_ = place;
  if (!items_ || !estimate_) return;
  sort_column_ = column_behind(document_->estimates[*estimate_], *items_);
  descending_ = true;
  list_items();
}

void BiasView::list_items() {
  listed_ = sorted_rows(*items_, rows_behind(document_->estimates[*estimate_], *items_), sort_column_, descending_);
  if (filter_.empty()) return;
  std::erase_if(listed_, [&](std::size_t row) {
    for (std::size_t c = 0; c < items_->columns(); ++c) {
      if ((!items_->is_text(c) || !hidden()) && items_->csv.rows[row][c].find(filter_) != std::string::npos) return false;
    }
    return true;
  });
}

void BiasView::step_item(int by) {
  if (listed_.empty()) return;
  const auto at = item_ ? std::ranges::find(listed_, *item_) : listed_.end();
  const auto place = static_cast<std::size_t>(at - listed_.begin());
  item_ = at == listed_.end() ? listed_[by > 0 ? 0 : listed_.size() - 1] : listed_[(place + listed_.size() + static_cast<std::size_t>(static_cast<std::ptrdiff_t>(by))) % listed_.size()];
  scroll_ = true;
}

std::vector<Action> BiasView::actions(Desk&) {
  return {{"Bias: next item", ImGuiKey_J, [this] { step_item(1); }},
          {"Bias: previous item", ImGuiKey_K, [this] { step_item(-1); }},
          {"Bias: back", ImGuiKey_Escape, [this] { item_ ? static_cast<void>(item_.reset()) : choose_estimate({}); }},
          {"Bias: show or hide texts", 0, [this] { hidden() ? static_cast<void>(revealed() = document_) : revealed().reset(); }}};
}

void BiasView::draw_header() const {
  ImGui::TextWrapped("%s", drawable(text_of(study()["title"])).c_str());
  ImGui::PushStyleColor(ImGuiCol_Text, faint_ink());
  ImGui::TextWrapped("%s", drawable(text_of(study()["question"])).c_str());
  ImGui::PopStyleColor();
  const auto gate = std::ranges::find_if(document_->estimates, is_competence);
  if (gate == document_->estimates.end()) {
    ImGui::TextDisabled("This study states no competence gate.");
  } else {
    const bool passed = gate->verdict == Verdict::differs && gate->null_value && gate->low > *gate->null_value;
    ImGui::PushStyleColor(ImGuiCol_Text, passed ? ink() : verdict_ink(Verdict::differs));
    ImGui::TextWrapped("Competence gate: %s, %s. %s", drawable(gate->name.substr(std::min(gate->name.size(), std::string_view("competence: ").size()))).c_str(), value_text(*gate).c_str(),
                       passed ? "Above chance: the model can do what the items ask for." : "Not above chance: what it does on these items says nothing, and nothing is printed.");
    ImGui::PopStyleColor();
  }
  name_item("bias/gate");
}

void BiasView::draw_tables() const {
  const auto words = [&](const char* label, const Json& json) {
    if ((!json.is_object() && !json.is_array()) || !ImGui::TreeNode(label)) return;
    if (json.is_array()) {
      for (const Json& each : json.items()) ImGui::BulletText("%s", ""), ImGui::SameLine(0.0f, 0.0f), ImGui::TextWrapped("%s", drawable(text_of(each)).c_str());
    } else {
      for (const auto& [name, value] : json.members()) ImGui::TextWrapped("%s: %s", drawable(name).c_str(), drawable(text_of(value)).c_str());
    }
    ImGui::TreePop();
  };
  words("how it was measured", study()["signature"]);
  words("notes", study()["notes"]);
  if (!study()["tables"].is_array()) return;
  for (std::size_t t = 0; t < study()["tables"].items().size(); ++t) {
    const Json& table = study()["tables"].items()[t];
    if (!table["rows"].is_array() || table["rows"].items().empty() || !table["rows"].items()[0].is_object()) continue;
    ImGui::PushID(static_cast<int>(t));
    const auto& rows = table["rows"].items();
    const auto& header = rows[0].members();
    if (ImGui::TreeNode("table", "%s", drawable(text_of(table["title"])).c_str())) {
      const int columns = static_cast<int>(std::min<std::size_t>(header.size(), 60));
      if (ImGui::BeginTable("rows", columns, ImGuiTableFlags_RowBg | ImGuiTableFlags_Borders | ImGuiTableFlags_Resizable | ImGuiTableFlags_ScrollX | ImGuiTableFlags_ScrollY,
                            {0.0f, ImGui::GetTextLineHeightWithSpacing() * std::min(16.0f, static_cast<float>(rows.size()) + 2.5f)})) {
        ImGui::TableSetupScrollFreeze(1, 1);
        for (int c = 0; c < columns; ++c) ImGui::TableSetupColumn(drawable(header[static_cast<std::size_t>(c)].first).c_str());
        ImGui::TableHeadersRow();
        ImGuiListClipper clipper;
        clipper.Begin(static_cast<int>(std::min(rows.size(), most_table_rows)));
        while (clipper.Step()) {
          for (int r = clipper.DisplayStart; r < clipper.DisplayEnd; ++r) {
            ImGui::TableNextRow();
            for (int c = 0; c < columns; ++c) {
              ImGui::TableNextColumn();
              ImGui::TextUnformatted(drawable(text_of(rows[static_cast<std::size_t>(r)][header[static_cast<std::size_t>(c)].first])).c_str());
            }
          }
        }
        ImGui::EndTable();
      }
      ImGui::TreePop();
    }
    ImGui::PopID();
  }
}

void BiasView::draw_estimates() {
  draw_header();
  draw_forest_legend();
  ImGui::Separator();
  ImGui::BeginChild("estimates");
  if (const auto clicked = draw_forest("bias", document_->estimates, estimate_)) choose_estimate(clicked);
  draw_tables();
  ImGui::EndChild();
}

/// estimates > the chosen one > the chosen item
void BiasView::draw_crumbs() {
  leave_ = ImGui::SmallButton("all estimates");
  name_item("bias/all");
  ImGui::SameLine();
  ImGui::TextDisabled(">");
  ImGui::SameLine();
  const Estimate& estimate = document_->estimates[*estimate_];
  const float room = ImGui::GetContentRegionAvail().x - (item_ ? 8.0f * ImGui::GetFontSize() : 1.0f);
  if (ImGui::SmallButton((fitted(drawable(estimate.name), std::max(60.0f, room)) + "###estimate").c_str())) item_.reset();
  name_item("bias/estimate");
  if (!item_ || !items_) return;
  ImGui::SameLine();
  ImGui::TextDisabled("> item %s", drawable(items_->cell(*item_, "item")).c_str());
}

void BiasView::draw_item_row(std::size_t place) {
  const std::size_t row = listed_[place];
  ImGui::PushID(static_cast<int>(row));
  ImGui::TableNextRow();
  bool first = true;
  for (std::size_t c = 0; c < items_->columns(); ++c) {
    if (items_->is_text(c)) continue;
    ImGui::TableNextColumn();
    const std::string& cell = items_->csv.rows[row][c];
    if (first) {
      if (ImGui::Selectable(drawable(cell).c_str(), item_ == row, ImGuiSelectableFlags_SpanAllColumns)) item_ = row;
      name_item("bias/item/" + std::to_string(place));
      if (item_ == row && scroll_) ImGui::SetScrollHereY(), scroll_ = false;
    } else if (items_->is_number(c) && !cell.empty()) {
      ImGui::Text("%.4g", items_->numbers[c][row]);
    } else {
      ImGui::TextUnformatted(drawable(cell).c_str());
    }
    first = false;
  }
  ImGui::PopID();
}

void BiasView::draw_items() {
  if (!items_) return loading_ ? ImGui::TextDisabled("reading items.csv ...") : ImGui::TextWrapped("%s", drawable(items_error_).c_str());
  ImGui::SetNextItemWidth(std::min(16.0f * ImGui::GetFontSize(), ImGui::GetContentRegionAvail().x * 0.5f));
  if (ImGui::InputTextWithHint("##filter", "filter", &filter_)) list_items();
  name_item("bias/filter");
  ImGui::SameLine();
  ImGui::TextDisabled("%zu of %zu items", listed_.size(), items_->rows());
  int columns = 0;
  for (std::size_t c = 0; c < items_->columns(); ++c) columns += items_->is_text(c) ? 0 : 1;
  constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX | ImGuiTableFlags_Sortable | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerV;
  ImGui::PushID(static_cast<int>(*estimate_));  // each estimate its own order
  if (columns > 0 && columns < 512 && ImGui::BeginTable("items", columns, flags)) {
    ImGui::TableSetupScrollFreeze(1, 1);
    for (std::size_t c = 0; c < items_->columns(); ++c) {
      if (!items_->is_text(c)) ImGui::TableSetupColumn(drawable(items_->csv.header[c]).c_str(), ImGuiTableColumnFlags_PreferSortDescending | (c == sort_column_ ? ImGuiTableColumnFlags_DefaultSort : 0), 0.0f, static_cast<ImGuiID>(c));
    }
    ImGui::TableHeadersRow();
    if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty && specs->SpecsCount > 0) {
      sort_column_ = specs->Specs->ColumnUserID;
      descending_ = specs->Specs->SortDirection == ImGuiSortDirection_Descending;
      list_items();
      specs->SpecsDirty = false;
    }
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(listed_.size()));
    if (scroll_ && item_) {
      const auto at = std::ranges::find(listed_, *item_);
      if (at != listed_.end()) clipper.IncludeItemByIndex(static_cast<int>(at - listed_.begin()));
    }
    while (clipper.Step()) {
      for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) draw_item_row(static_cast<std::size_t>(i));
    }
    ImGui::EndTable();
  }
  ImGui::PopID();
}

void BiasView::draw_sentences() {
  bool show = !hidden();
  if (ImGui::Checkbox("show texts", &show)) show ? static_cast<void>(revealed() = document_) : revealed().reset();
  name_item("bias/texts");
  ImGui::SameLine();
  ImGui::TextDisabled("sets of this kind hold slurs and stereotypes");
  for (std::size_t c = 0; c < items_->columns(); ++c) {
    const std::string& cell = items_->csv.rows[*item_][c];
    if (!items_->is_text(c) || cell.empty()) continue;
    ImGui::PushStyleColor(ImGuiCol_Text, faint_ink());
    ImGui::TextWrapped("%s", drawable(items_->csv.header[c]).c_str());
    ImGui::PopStyleColor();
    ImGui::Indent();
    show ? ImGui::TextWrapped("%s", drawable(cell).c_str()) : ImGui::TextDisabled("(hidden, %zu characters)", cell.size());
    ImGui::Unindent();
  }
}

void BiasView::draw_numbers() const {
  std::string line;
  for (std::size_t c = 1; c < items_->columns(); ++c) {
    if (items_->is_text(c) || items_->csv.rows[*item_][c].empty()) continue;
    char number[48] = "";
    if (items_->is_number(c)) std::snprintf(number, sizeof number, "%.5g", items_->numbers[c][*item_]);
    line += (line.empty() ? "" : ",  ") + items_->csv.header[c] + " " + (items_->is_number(c) ? number : items_->csv.rows[*item_][c]);
  }
  ImGui::TextWrapped("%s", drawable(line).c_str());
}

void BiasView::run_pair(Desk& desk, std::function<void(Desk&, const DocumentPointer&)> then) {
  const Json& signature = study()["signature"];
  const std::string precision = text_of(signature["precision"]), bos = text_of(signature["bos"]);
  RecordOrder order;
  order.model = model_;
  order.texts = {items_->cell(*item_, "sentence_more"), items_->cell(*item_, "sentence_less")};
  if (precision == "fast" || precision == "exact" || precision == "int8") order.precision = precision, order.kernel = text_of(signature["kernel"]);
  if (bos.starts_with("yes") || bos.starts_with("no")) order.bos = bos.starts_with("yes") ? "yes" : "no";
  order.name = "pair-" + items_->cell(*item_, "item");
  try {
    desk.record(job_name, order, std::move(then));
    remember("models", model_);
  } catch (const std::exception& error) {
    desk.warn(error.what());
  }
}

/// Starts the model over the two sentences, or says how far it is.
void BiasView::draw_run(Desk& desk) {
  if (RecordJob* job = desk.recording(job_name)) {
    if (ImGui::Button("cancel")) job->cancel();
    name_item("bias/cancel");
    ImGui::SameLine();
    const std::string words = job->progress();
    ImGui::TextDisabled("running the pair ... %s", drawable(words).c_str());
    return;
  }
  if (items_->cell(*item_, "sentence_more").empty() || items_->cell(*item_, "sentence_less").empty()) {
    return ImGui::TextWrapped("The items of this study hold no pair of sentences: there are no tokens to look at.");
  }
  pick_model("bias", model_, models_);
  ImGui::BeginDisabled(model_.empty());
  if (ImGui::Button("run this pair")) run_pair(desk, [](Desk& at, const DocumentPointer&) { at.panel_to_show = "bias"; });
  name_item("bias/run");
  ImGui::EndDisabled();
  ImGui::SetItemTooltip("vitrine record of both sentences, as the study ran them: log-probabilities of their tokens, and their attention.\nThe recording is opened: other panels show its tokens.");
  const std::string name = text_of(study()["signature"]["model"]);
  ImGui::SameLine();
  if (!name.empty() && !model_.empty() && std::filesystem::path(model_).filename() != name) ImGui::TextDisabled("the study ran %s", drawable(name).c_str());
  else ImGui::TextDisabled("for the tokens' log-probabilities and attention");
}

void BiasView::draw_tokens(Desk& desk) {
  if (paired_item_ != item_) {
    paired_item_ = item_;
    pair_ = find_pair(desk.documents(), items_->cell(*item_, "sentence_more"), items_->cell(*item_, "sentence_less"));
  }
  if (!pair_) return draw_run(desk);
  ImGui::TextDisabled("recorded in %s; sums: term %.4g, association %.4g nats", drawable(pair_->document->path.filename().string()).c_str(), pair_->term, pair_->association);
  const auto clicked = draw_pair_table("bias/token", {&*pair_, hidden()});
  if (!clicked) return;
  const PairLine& line = pair_->lines[*clicked];
  const std::size_t at = line.more.value_or(line.less.value_or(0));
  if (desk.shown(DocumentKind::recording) != pair_->document) desk.show(pair_->document);
  desk.selection = {desk.selection.layer, desk.selection.head, line.more ? pair_->more_sequence : pair_->less_sequence, at > 0 ? at - 1 : 0, {}};
  desk.panel_to_show = "attention";
}

/// The attention of a head over the first sentence of the pair; the pair is run first where it was not.
void BiasView::show_head(Desk& desk, const HeadEffect& effect) {
  const auto look = [effect](Desk& at, const DocumentPointer& recording, std::size_t sequence) {
    const auto own = own_modules(*recording->recording);
    const auto all = recording->recording->modules();
    const auto module = std::ranges::find_if(own, [&](const Recording::Module& each) { return each.block == effect.layer && effect.head < each.heads; });
    if (module == own.end()) return at.warn("The recording has no L" + std::to_string(effect.layer) + "H" + std::to_string(effect.head) + ".");
    const auto place = std::ranges::find_if(all, [&](const Recording::Module& each) { return each.name == module->name; });
    at.selection = {static_cast<std::size_t>(place - all.begin()), effect.head, sequence, {}, {}};
    at.panel_to_show = "attention";
  };
  if (pair_) {
    if (desk.shown(DocumentKind::recording) != pair_->document) desk.show(pair_->document);
    return look(desk, pair_->document, pair_->more_sequence);
  }
  if (model_.empty() || items_->cell(*item_, "sentence_more").empty()) return desk.warn("Run the pair first: name a model.");
  run_pair(desk, [look](Desk& at, const DocumentPointer& recording) { look(at, recording, 0); });
}

void BiasView::draw_heads(Desk& desk) {
  ImGui::SeparatorText("through which heads");
  if (heads_.empty()) return ImGui::TextWrapped("Open a study of `vitrine study mediation` of the same model beside this one, to see through which heads' attention an exchanged word acts.");
  const std::string own = text_of(study()["signature"]["model"]), other = text_of(mediation_->json["signature"]["model"]);
  ImGui::PushStyleColor(ImGuiCol_Text, faint_ink());
  ImGui::TextWrapped("%s%s", drawable(text_of(mediation_->json["title"])).c_str(), own == other ? "" : (" (this study is of " + drawable(own) + ")").c_str());
  ImGui::PopStyleColor();
  if (const auto clicked = draw_head_effects("bias/head", heads_)) show_head(desk, heads_[*clicked]);
}

void BiasView::draw_item(Desk& desk) {
  if (!items_ || !item_ || *item_ >= items_->rows()) return ImGui::TextDisabled("Click an item: what it is made of.");
  draw_numbers();
  draw_sentences();
  ImGui::SeparatorText("tokens");
  draw_tokens(desk);
  draw_heads(desk);
}

void BiasView::draw(Desk& desk) {
  take_items();
  if (std::exchange(leave_, false)) choose_estimate({});
  if (!estimate_) return draw_estimates();
  if (ImGui::GetContentRegionAvail().x < wide_in_letters * ImGui::GetFontSize()) {  // a page at a time
    draw_crumbs();
    ImGui::BeginChild("page");
    item_ ? draw_item(desk) : draw_items();
    ImGui::EndChild();
    return;
  }
  ImGui::BeginChild("left", {ImGui::GetContentRegionAvail().x * 0.52f, 0.0f}, ImGuiChildFlags_ResizeX);
  draw_estimates();
  ImGui::EndChild();
  ImGui::SameLine();
  ImGui::BeginGroup();
  draw_crumbs();
  ImGui::BeginChild("items", {0.0f, ImGui::GetContentRegionAvail().y * 0.38f}, ImGuiChildFlags_ResizeY | ImGuiChildFlags_Borders);
  draw_items();
  ImGui::EndChild();
  ImGui::BeginChild("item");
  draw_item(desk);
  ImGui::EndChild();
  ImGui::EndGroup();
}

Figure BiasView::figure(Desk&) {
  Figure figure{.title = text_of(study()["title"])};
  if (study()["notes"].is_array()) {
    for (const Json& note : study()["notes"].items()) figure.notes.push_back(text_of(note));
  }
  for (const std::string& unit : units_of(document_->estimates)) {
    FigureEstimates& part = figure.estimates.emplace_back(FigureEstimates{.title = unit});
    std::ranges::copy_if(document_->estimates, std::back_inserter(part.rows), [&](const Estimate& each) { return each.unit == unit; });
  }
  return figure;
}

}  // namespace

const Panel& panel_bias() {
  static const Panel panel{.name = "bias", .title = "Bias", .summary = "a study's estimates with intervals and verdicts, down to items, tokens and heads", .place = 70,
                           .shows = [](const Document& document) { return document.kind == DocumentKind::study && document.json["study"].string() != "tradeoff"; },
                           .make = [](const DocumentPointer& document, Desk& desk) -> std::unique_ptr<PanelView> { return std::make_unique<BiasView>(document, desk); }};
  return panel;
}

}  // namespace vitrine
