#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "viewer/data/background.h"
#include "probes/figures/token_label.h"
#include "viewer/data/token_values.h"
#include "viewer/data/tokens.h"
#include "viewer/draw/color_strip.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/surface.h"
#include "viewer/draw/token_flow.h"
#include "viewer/panel.h"

// The text itself, token by token, coloured by a quantity: what the chosen token reads, how well each was predicted, ...

namespace vitrine {
namespace {

using Side = Recording::Side;
constexpr std::array sides{Side::encoder, Side::text};
constexpr std::size_t longest_label = 40, most_alternatives = 12;

/// A run of tokens that the search found.
struct Match {
  std::size_t side = 0, first = 0, last = 0;
};

class TextView : public PanelView {
 public:
  explicit TextView(const DocumentPointer& document) : document_(document), recording_(document->recording.get()) {}
  void draw(Desk& desk) override;
  bool busy() const override { return job_ != nullptr || flows_[0].measuring() || flows_[1].measuring(); }
  Json state() const override;
  void restore(const Json& json) override;
  std::vector<Action> actions(Desk& desk) override;
  Figure figure(Desk& desk) override;

 private:
  const Recording::Module* module(const Selection& selection) const;
  Side queries(const Selection& selection) const { return module(selection) == nullptr ? Side::text : module(selection)->queries; }
  Side keys(const Selection& selection) const { return module(selection) == nullptr ? Side::text : module(selection)->keys; }
  void load(std::size_t sequence);
  std::string label(std::size_t side, std::size_t token) const;
  TokenOrder order_of(const Desk& desk) const;
  void refresh(const Desk& desk);
  ValueColors colors() const;
  void draw_header(Desk& desk);
  void draw_search();
  void search();
  void go_to_match(std::ptrdiff_t by);
  void draw_side(Desk& desk, std::size_t side, Corner size);
  void choose(Selection& selection, std::size_t side, std::size_t token) const;
  void tooltip(const Selection& selection, std::size_t side, std::size_t token);
  void draw_alternatives(std::size_t sequence, std::size_t token);
  void move_query(Selection& selection, int by);

  DocumentPointer document_;
  const Recording* recording_;  // null: an attribution stands alone
  TokenQuantity quantity_ = TokenQuantity::reads;
  ColorSpread spread_ = ColorSpread::square_root;
  bool signs_ = false;  // spaces in front of words as signs

  std::optional<std::size_t> loaded_;  // sequence
  std::array<Tokens, 2> tokens_;       // by Recording::Side
  std::vector<float> log_probabilities_;
  std::array<TokenFlow, 2> flows_;

  HeadShelf shelf_;
  std::optional<TokenOrder> shown_, ordered_;  // what values_ are of; what job_ makes
  TokenValues values_;
  std::unique_ptr<Background<TokenValues>> job_;

  std::string needle_;
  std::vector<Match> matches_;
  std::size_t match_ = 0;
  bool focus_search_ = false;
  std::optional<std::size_t> seen_query_;

  std::optional<std::size_t> top_of_;  // row whose likeliest tokens top_ holds
  Recording::TopTokens top_;
  std::unique_ptr<Background<std::pair<std::size_t, Recording::TopTokens>>> top_job_;
};

const Recording::Module* TextView::module(const Selection& selection) const {
  return recording_ == nullptr || recording_->modules().empty() ? nullptr : &recording_->modules()[selection.layer];
}

Json TextView::state() const {
  return Json::object()
      .set("quantity", words_of(quantity_).name)
      .set("spread", static_cast<int>(spread_))
      .set("signs", signs_)
      .set("search", needle_);
}

void TextView::restore(const Json& json) {
  for (const TokenQuantityWords& each : token_quantities) {
    if (json["quantity"].is_string() && json["quantity"].string() == each.name) quantity_ = each.quantity;
  }
  if (json["spread"].is_integer()) spread_ = static_cast<ColorSpread>(std::clamp<std::int64_t>(json["spread"].integer(), 0, 2));
  if (json["signs"].is_bool() && json["signs"].boolean() != signs_) signs_ = !signs_, loaded_.reset();
  if (json["search"].is_string() && json["search"].string() != needle_) {
    needle_ = json["search"].string();
    search();
  }
}

/// As it stands in the text: a space in front of a word is one, unless signs are wanted; a token of spaces alone is always shown.
std::string TextView::label(std::size_t side, std::size_t token) const {
  const Tokens& tokens = tokens_[side];
  if (tokens.bytes.empty() || tokens.bytes[token].empty()) return tokens.labels[token];
  const std::string& bytes = tokens.bytes[token];
  const std::size_t spaces = signs_ ? 0 : std::min(bytes.find_first_not_of(' '), bytes.size());
  return spaces == bytes.size() ? token_label(bytes, longest_label)
                                : std::string(spaces, ' ') + token_label(std::string_view(bytes).substr(spaces), longest_label);
}

void TextView::load(std::size_t sequence) {
  if (loaded_ == sequence) return;
  loaded_ = sequence;
  top_of_.reset();
  log_probabilities_.clear();
  if (recording_ == nullptr) {
    AttributedTokens told = attributed_tokens(document_->json);
    tokens_[0].labels.clear();
    for (const std::string& each : told.bytes) tokens_[0].labels.push_back(token_label(each));
    tokens_[0].ids = std::move(told.ids), tokens_[0].bytes = std::move(told.bytes);
    values_.of_side[0] = std::move(told.scores), values_.note = std::move(told.note);
    span_around_zero(values_);
  } else if (recording_->sequences() > 0) {
    for (const Side side : sides) tokens_[static_cast<std::size_t>(side)] = tokens_of(*document_, sequence, side);
    if (recording_->may_read(DataClass::text)) log_probabilities_ = recording_->log_probabilities(sequence);
  }
  for (std::size_t side = 0; side < 2; ++side) {
    std::vector<std::string> labels;
    std::vector<bool> ends;
    for (std::size_t i = 0; i < tokens_[side].labels.size(); ++i) {
      labels.push_back(label(side, i));
      ends.push_back(!tokens_[side].bytes.empty() && tokens_[side].bytes[i].ends_with('\n'));
    }
    flows_[side].set(std::move(labels), std::move(ends));
  }
  search();
}

/// Only what the quantity depends on, so that nothing is computed anew for the rest.
TokenOrder TextView::order_of(const Desk& desk) const {
  const Selection& chosen = desk.selection;
  TokenOrder order{.quantity = quantity_, .map = {document_, chosen.layer, chosen.head, chosen.sequence}, .other = nullptr, .query = {}, .key = {}};
  switch (quantity_) {
    case TokenQuantity::reads:
    case TokenQuantity::read_by:
      order.query = chosen.query, order.key = chosen.key;
      break;
    case TokenQuantity::layer_reads:
    case TokenQuantity::layer_read_by:
      order.query = chosen.query, order.key = chosen.key, order.map.head = 0;
      break;
    case TokenQuantity::entropy:
      break;
    case TokenQuantity::residual_norm:
      order.map.head = 0;
      break;
    case TokenQuantity::log_probability:
      order.map.module = order.map.head = 0;
      break;
    case TokenQuantity::attribution:
      order.map.module = order.map.head = 0, order.other = desk.shown(DocumentKind::attribution);
      break;
    case TokenQuantity::loss_difference:
      order.map.module = order.map.head = 0, order.other = desk.reference();
      break;
  }
  return order;
}

/// Takes what is done and asks for what is missing. A job that is no longer wanted ends by itself: nobody waits for it.
void TextView::refresh(const Desk& desk) {
  if (recording_ == nullptr) return;  // load() took what the attribution says
  if (job_ && job_->done()) {
    values_ = job_->answer() ? *job_->answer() : TokenValues{.of_side = {}, .note = job_->error()};
    shown_ = ordered_;
    job_.reset();
  }
  const TokenOrder wanted = order_of(desk);
  if (job_ || shown_ == wanted || recording_->sequences() == 0) return;
  ordered_ = wanted;
  job_ = std::make_unique<Background<TokenValues>>([this, wanted](Run& run) { return token_values(wanted, shelf_, run); }, wake_window);
}

ValueColors TextView::colors() const {
  const bool is_signed = recording_ == nullptr || words_of(quantity_).is_signed, logarithm = quantity_ == TokenQuantity::log_probability;
  return {is_signed ? ColorMap::diverging : ColorMap::viridis, is_signed || logarithm ? ColorSpread::linear : spread_, values_.low, values_.high};
}

/// All tokens of the text whose bytes the words touch; letters of ASCII in any case.
void TextView::search() {
  matches_.clear();
  match_ = 0;
  if (needle_.empty()) return;
  const auto lower = [](std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return text;
  };
  const std::string wanted = lower(needle_);
  for (const Side each : sides) {
    const auto side = static_cast<std::size_t>(each);
    const Tokens& tokens = tokens_[side];
    std::string text;
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < tokens.labels.size(); ++i) {
      begins.push_back(text.size());
      text += tokens.bytes.empty() ? tokens.labels[i] + " " : tokens.bytes[i];
    }
    text = lower(std::move(text));
    const auto token_of = [&](std::size_t byte) { return static_cast<std::size_t>(std::ranges::upper_bound(begins, byte) - begins.begin()) - 1; };
    for (std::size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + wanted.size()))
      matches_.push_back({side, token_of(at), token_of(at + wanted.size() - 1)});
  }
}

void TextView::go_to_match(std::ptrdiff_t by) {
  if (matches_.empty()) return;
  const auto count = static_cast<std::ptrdiff_t>(matches_.size());
  match_ = static_cast<std::size_t>((static_cast<std::ptrdiff_t>(match_) + by + count) % count);
  flows_[matches_[match_].side].show(matches_[match_].first);
}

void TextView::draw_search() {
  ImGui::SetNextItemWidth(14.0f * ImGui::GetFontSize());
  if (focus_search_) ImGui::SetKeyboardFocusHere();
  focus_search_ = false;
  if (ImGui::InputTextWithHint("##search", "search (Ctrl+F)", &needle_)) {
    search();
    go_to_match(0);
  }
  const bool entered = ImGui::IsItemFocused() && (ImGui::IsKeyPressed(ImGuiKey_Enter) || ImGui::IsKeyPressed(ImGuiKey_KeypadEnter));
  name_item("text/search");
  if (entered) {
    go_to_match(ImGui::GetIO().KeyShift ? -1 : 1);
    focus_search_ = true;
  }
  ImGui::SameLine();
  if (ImGui::ArrowButton("##previous", ImGuiDir_Up)) go_to_match(-1);
  ImGui::SetItemTooltip("previous (Shift+F3)");
  name_item("text/previous");
  ImGui::SameLine(0.0f, 2.0f);
  if (ImGui::ArrowButton("##next", ImGuiDir_Down)) go_to_match(1);
  ImGui::SetItemTooltip("next (F3)");
  name_item("text/next");
  ImGui::SameLine();
  if (needle_.empty()) ImGui::TextDisabled(" ");
  else if (matches_.empty()) ImGui::TextDisabled("not found");
  else ImGui::TextDisabled("%zu of %zu", match_ + 1, matches_.size());
}

void TextView::draw_header(Desk& desk) {
  const Selection& selection = desk.selection;
  const float unit = ImGui::GetFontSize();
  if (recording_ != nullptr) {
    ImGui::SetNextItemWidth(20.0f * unit);
    if (ImGui::BeginCombo("##quantity", std::string(words_of(quantity_).title).c_str(), ImGuiComboFlags_HeightLarge)) {
      for (const TokenQuantityWords& each : token_quantities) {
        if (ImGui::Selectable(std::string(each.title).c_str(), quantity_ == each.quantity)) quantity_ = each.quantity;
        name_item("text/quantity/" + std::string(each.name));
      }
      ImGui::EndCombo();
    }
    name_item("text/quantity");
    ImGui::SameLine();
  }
  if (ImGui::Checkbox("signs for spaces", &signs_)) loaded_.reset();
  name_item("text/signs");
  ImGui::SameLine();
  draw_search();
  const float used = ImGui::GetItemRectMax().x - ImGui::GetWindowPos().x;
  if (ImGui::GetWindowWidth() - used > 28.0f * unit) ImGui::SameLine();  // a low window has no line to spare
  const bool numbers = !values_.of_side[0].empty() || !values_.of_side[1].empty();
  if (numbers) {
    draw_color_strip(13.0f * unit, colors(), recording_ == nullptr ? std::string("attribution") : std::string(words_of(quantity_).unit));
    ImGui::SameLine();
  }
  ImGui::PushStyleColor(ImGuiCol_Text, mark_ink());
  const bool of_head = quantity_ == TokenQuantity::reads || quantity_ == TokenQuantity::read_by || quantity_ == TokenQuantity::entropy;
  const bool of_layer =
      quantity_ == TokenQuantity::layer_reads || quantity_ == TokenQuantity::layer_read_by || quantity_ == TokenQuantity::residual_norm;
  if (module(selection) != nullptr && of_head) ImGui::Text("%s, head %zu", module(selection)->name.c_str(), selection.head);
  else if (module(selection) != nullptr && of_layer) ImGui::TextUnformatted(module(selection)->name.c_str());
  else ImGui::TextUnformatted(" ");
  ImGui::PopStyleColor();
  if (!values_.note.empty()) ImGui::TextWrapped("%s", drawable(values_.note).c_str());
  if (flows_[0].has_code_points() || flows_[1].has_code_points()) {
    ImGui::TextDisabled(
        "U+0000: characters that no font here has, or whose scripts join or turn letters, which this window cannot; bytes in <> are parts of "
        "characters");
  }
}

void TextView::choose(Selection& selection, std::size_t side, std::size_t token) const {
  const Side clicked = static_cast<Side>(side);
  const bool second = ImGui::GetIO().KeyCtrl || ImGui::GetIO().KeyShift || clicked != queries(selection);
  if (!second) selection.query = token;
  else if (clicked == keys(selection)) selection.key = token;
}

void TextView::draw_side(Desk& desk, std::size_t side, Corner size) {
  Selection& selection = desk.selection;
  const Side own = static_cast<Side>(side);
  const std::vector<double>& numbers = values_.of_side[side];
  const ValueColors scale = colors();
  TokenFlow::Paint paint;
  if (!numbers.empty()) {
    paint.fill = [&](std::size_t token) -> std::optional<Color> {
      if (token >= numbers.size() || std::isnan(numbers[token])) return {};
      return scale.at(numbers[token]);
    };
  }
  std::vector<Match> found;
  std::ranges::copy_if(matches_, std::back_inserter(found), [&](const Match& each) { return each.side == side; });
  paint.found = [&](std::size_t token) {
    const auto after = std::ranges::upper_bound(found, token, {}, &Match::first);
    return after != found.begin() && std::prev(after)->last >= token;
  };
  if (queries(selection) == own) paint.query = selection.query;
  if (keys(selection) == own) paint.key = selection.key;
  const TokenFlow::Answer answer = flows_[side].draw(own == Side::encoder ? "text/encoder" : "text/token", size, paint);
  if (answer.clicked) {
    choose(selection, side, *answer.clicked);
    seen_query_ = selection.query;
  }
  if (answer.hovered) tooltip(selection, side, *answer.hovered);
}

void TextView::draw(Desk& desk) {
  Selection& selection = desk.selection;
  load(selection.sequence);
  refresh(desk);
  if (flows_[0].empty() && flows_[1].empty()) {
    ImGui::TextWrapped("This file holds no tokens yet.");
    return;
  }
  draw_header(desk);
  const auto query_side = static_cast<std::size_t>(queries(selection));
  if (seen_query_ != selection.query && selection.query) flows_[query_side].show(*selection.query);  // another panel chose it
  seen_query_ = selection.query;
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float line = ImGui::GetTextLineHeightWithSpacing();
  if (flows_[1].empty()) return draw_side(desk, 0, {room.x, room.y});
  const float each = std::max(60.0f, (room.y - 2 * line) / 2 - 6.0f);
  ImGui::TextDisabled("encoder: %zu tokens", tokens_[1].labels.size());
  draw_side(desk, 1, {room.x, each});
  ImGui::TextDisabled("decoder: %zu tokens", tokens_[0].labels.size());
  draw_side(desk, 0, {room.x, each});
}

/// What the model held likeliest where the token stands: the row before it says so, of a causal text.
void TextView::draw_alternatives(std::size_t sequence, std::size_t token) {
  const auto modules = recording_->modules();
  const bool causal = modules.empty() || own_modules(*recording_).empty() || own_modules(*recording_).front().score.mask == Mask::causal;
  if (log_probabilities_.empty() || (causal && token == 0)) return;
  const std::size_t row = causal ? token - 1 : token;
  if (top_job_ && top_job_->done()) {
    if (top_job_->answer()) std::tie(top_of_, top_) = std::pair(std::optional(top_job_->answer()->first), top_job_->answer()->second);
    top_job_.reset();
  }
  if (top_of_ != row && !top_job_) {
    const Recording* recording = recording_;
    top_job_ = std::make_unique<Background<std::pair<std::size_t, Recording::TopTokens>>>(
        [recording, sequence, row](Run&) { return std::pair(row, recording->top_tokens(sequence, row)); }, wake_window);
  }
  if (top_of_ != row || top_.ids.empty()) return;
  ImGui::Separator();
  ImGui::TextDisabled("likeliest here");
  for (std::size_t i = 0; i < std::min(most_alternatives, top_.ids.size()); ++i) {
    const auto known = std::ranges::find(tokens_[0].ids, top_.ids[i]);  // a recording holds texts of its own tokens alone
    const std::string word = known == tokens_[0].ids.end() ? "token " + std::to_string(top_.ids[i])
                                                           : drawable(tokens_[0].labels[static_cast<std::size_t>(known - tokens_[0].ids.begin())]);
    ImGui::Text("%5.1f%%  %s", 100.0 * std::exp(static_cast<double>(top_.log_probabilities[i])), word.c_str());
  }
}

void TextView::tooltip(const Selection& selection, std::size_t side, std::size_t token) {
  const Tokens& tokens = tokens_[side];
  ImGui::BeginTooltip();
  ImGui::Text("%zu   %s", token, drawable(tokens.labels[token]).c_str());
  if (token < tokens.ids.size()) ImGui::Text("id %d", tokens.ids[token]);
  if (token < tokens.bytes.size() && !tokens.bytes[token].empty()) {
    std::string bytes;
    for (const char each : tokens.bytes[token].substr(0, 24)) {
      char code[8];
      std::snprintf(code, sizeof code, "%02X ", static_cast<unsigned char>(each));
      bytes += code;
    }
    ImGui::SameLine();
    ImGui::TextDisabled("bytes %s%s", bytes.c_str(), tokens.bytes[token].size() > 24 ? "..." : "");
  }
  const std::vector<double>& numbers = values_.of_side[side];
  if (token < numbers.size() && !std::isnan(numbers[token])) {
    ImGui::Text("%s: %s", recording_ == nullptr ? "attribution" : std::string(words_of(quantity_).title).c_str(),
                short_number(numbers[token]).c_str());
  }
  if (side == 0 && token < log_probabilities_.size() && !std::isnan(log_probabilities_[token])) {
    ImGui::Text("log P %.3f nats (%.2g%%)", static_cast<double>(log_probabilities_[token]),
                100.0 * std::exp(static_cast<double>(log_probabilities_[token])));
  }
  if (side == 0 && recording_ != nullptr) draw_alternatives(selection.sequence, token);
  ImGui::EndTooltip();
}

void TextView::move_query(Selection& selection, int by) { step_query(selection, tokens_[static_cast<std::size_t>(queries(selection))].labels.size(), by); }

std::vector<Action> TextView::actions(Desk& desk) {
  std::vector<Action> actions{{"Text: search", ImGuiMod_Ctrl | ImGuiKey_F, [this] { focus_search_ = true; }},
                              {"Text: next match", ImGuiKey_F3, [this] { go_to_match(1); }},
                              {"Text: previous match", ImGuiMod_Shift | ImGuiKey_F3, [this] { go_to_match(-1); }},
                              {"Text: next token", ImGuiKey_J, [this, &desk] { move_query(desk.selection, 1); }},
                              {"Text: previous token", ImGuiKey_K, [this, &desk] { move_query(desk.selection, -1); }},
                              {"Text: no token chosen", ImGuiKey_Escape, [&desk] { desk.selection.query.reset(), desk.selection.key.reset(); }},
                              {"Text: signs for spaces", ImGuiKey_S, [this] { signs_ = !signs_, loaded_.reset(); }},
                              {"Text: colours linear, by root, by logarithm", ImGuiKey_L,
                               [this] { spread_ = static_cast<ColorSpread>((static_cast<int>(spread_) + 1) % 3); }}};
  for (const TokenQuantityWords& each : token_quantities) {
    if (recording_ != nullptr) actions.push_back({"Text: colour by " + std::string(each.title), 0, [this, &each] { quantity_ = each.quantity; }});
  }
  return actions;
}

Figure TextView::figure(Desk& desk) {
  load(desk.selection.sequence);
  if (recording_ != nullptr) {
    Run run;
    values_ = token_values(order_of(desk), shelf_, run);
    shown_.reset();
  }
  const ValueColors scale = colors();
  const std::string title = recording_ == nullptr ? "attribution" : std::string(words_of(quantity_).title);
  Figure figure{.title = document_->path.filename().string() + ": " + title};
  if (!values_.note.empty()) figure.notes.push_back(values_.note);
  for (const Side each : sides) {
    const auto side = static_cast<std::size_t>(each);
    if (tokens_[side].labels.empty()) continue;
    FigureText text{.title = tokens_[1].labels.empty() ? title
                             : each == Side::encoder   ? "encoder"
                                                       : "decoder",
                    .unit = recording_ == nullptr ? "attribution" : std::string(words_of(quantity_).unit)};
    for (std::size_t i = 0; i < tokens_[side].labels.size(); ++i) text.spans.push_back(label(side, i));
    text.values = values_.of_side[side];
    text.values.resize(text.spans.size(), std::nan(""));
    text.colors = scale.colors, text.low = scale.low, text.high = scale.high;
    figure.texts.push_back(std::move(text));
  }
  return figure;
}

}  // namespace

const Panel& panel_text() {
  static const Panel panel{
      .name = "text",
      .title = "Text",
      .summary = "the tokens of a text, coloured by attention, log-probability, entropy, attribution, ...",
      .place = 40,
      .shows = [](const Document& document) { return document.recording != nullptr || document.kind == DocumentKind::attribution; },
      .make = [](const DocumentPointer& document, Desk&) -> std::unique_ptr<PanelView> { return std::make_unique<TextView>(document); }};
  return panel;
}

}  // namespace vitrine
