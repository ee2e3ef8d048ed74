#include "core/text/vocabulary.h"

#include <algorithm>
#include <charconv>

#include "core/text/byte_alphabet.h"
#include "core/text/stages.h"

namespace vitrine {

std::unordered_map<std::string_view, TokenId> ids_of_tokens(const Vocabulary& vocabulary) {
  std::unordered_map<std::string_view, TokenId> ids;
  ids.reserve(vocabulary.tokens.size());
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (!vocabulary.tokens[i].empty()) ids[vocabulary.tokens[i]] = static_cast<TokenId>(i);
  }
  return ids;
}

std::optional<std::string> model_bytes(const Vocabulary& vocabulary, TokenId id) {
  const auto at = static_cast<std::size_t>(id);
  if (at < vocabulary.outside.size() && vocabulary.outside[at]) return std::nullopt;
  const std::string& token = vocabulary.tokens[at];
  return vocabulary.alphabet == Alphabet::bytes ? bytes_of_alphabet(token) : std::optional(token);
}

std::optional<unsigned char> byte_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<unsigned char>(value);
}

std::vector<TokenId> byte_tokens(const Vocabulary& vocabulary) {
  std::vector<TokenId> tokens(256, -1);
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (const auto byte = byte_token(vocabulary.tokens[i])) tokens[*byte] = static_cast<TokenId>(i);
  }
  return tokens;
}

bool marks_only_begin_tokens(const Vocabulary& vocabulary) {
  constexpr std::string_view mark = "\u2581";
  bool mark_is_token = false;
  for (const std::string& token : vocabulary.tokens) {
    mark_is_token = mark_is_token || token == mark;
    std::size_t at = 0;
    while (std::string_view(token).substr(at).starts_with(mark)) at += mark.size();
    if (token.find(mark, at) != std::string::npos) return false;
  }
  return mark_is_token;
}

void choose_alphabet(Vocabulary& vocabulary) {
  const auto is_byte_level = [](const Json& stage) { return stage["type"].is_string() && stage["type"].string() == "ByteLevel"; };
  std::vector<Json> stages = single_stages(vocabulary.pre_tokenizer);
  if (std::none_of(stages.begin(), stages.end(), is_byte_level)) return;
  if (is_byte_level(stages.back())) {
    vocabulary.alphabet = Alphabet::bytes;
    stages.pop_back();
  }
  // A stage behind it sees the printable characters, so there they have to be made.
  if (std::none_of(stages.begin(), stages.end(), is_byte_level)) return;
  vocabulary.alphabet = Alphabet::characters;
  Json list = Json::array();
  for (Json& stage : single_stages(vocabulary.pre_tokenizer)) list.push(is_byte_level(stage) ? stage.set("maps", true) : stage);
  vocabulary.pre_tokenizer = Json::object().set("type", "Sequence").set("pretokenizers", list);
}

void set_templates(Vocabulary& vocabulary, const std::vector<TokenId>& prefix, const std::vector<TokenId>& suffix) {
  vocabulary.single.clear();
  vocabulary.pair.clear();
  const auto add = [](std::vector<TemplatePart>& parts, const std::vector<TokenId>& ids, int type) {
    for (const TokenId id : ids) parts.push_back({.token = id, .type = type});
  };
  for (std::vector<TemplatePart>* parts : {&vocabulary.single, &vocabulary.pair}) {
    add(*parts, prefix, 0);
    parts->push_back({.text = 0});
    add(*parts, suffix, 0);
  }
  if (suffix.empty()) add(vocabulary.pair, prefix, 1);
  vocabulary.pair.push_back({.text = 1, .type = 1});
  add(vocabulary.pair, suffix, 1);
}

void note_added_specials(Vocabulary& vocabulary) {
  SpecialTokens& special = vocabulary.special;
  special.adds_bos = special.adds_eos = false;
  bool behind = false;
  for (const TemplatePart& part : vocabulary.single) {
    if (part.text >= 0) behind = true;
    if (part.token < 0) continue;
    if (!behind && special.bos == part.token) special.adds_bos = true;
    if (behind && special.eos == part.token) special.adds_eos = true;
  }
}

}  // namespace vitrine
