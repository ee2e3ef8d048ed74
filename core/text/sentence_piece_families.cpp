#include <algorithm>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/text/language_codes.h"
#include "core/text/names.h"
#include "core/text/vocabulary.h"

// Families of models that wrap a SentencePiece model: fairseq's numbering with <pad> and <mask>, languages, folding of case.
// Each as its published tokenizer does it.

namespace vitrine {
namespace {

Json stage(const char* type) { return Json::object().set("type", type); }
Json replace(const char* key, const char* pattern, const char* content) {
  return stage("Replace").set("pattern", Json::object().set(key, pattern)).set("content", content);
}

class Family {
 public:
  Family(Vocabulary& vocabulary, const FamilySource& source) : vocabulary_(vocabulary), source_(source) {}

  void arrange() {
    const std::string& family = source_.family;
    if (family == "t5") return t5();
    if (family == "albert" || family == "xlnet") return folded();
    if (family == "xlm-roberta" || family == "mbart" || family == "mbart50" || family == "nllb") return fairseq();
    if (family == "camembert") return camembert();
    if (family == "m2m100" || family == "marian") return by_vocab();
    std::vector<TokenId> prefix;
    if (vocabulary_.special.bos) prefix.push_back(*vocabulary_.special.bos);
    set_templates(vocabulary_, prefix, {});
  }

 private:
  [[noreturn]] void refuse(const std::string& expected, const std::string& found) const {
    throw Error({vocabulary_.where + ": " + source_.family, expected, found, ""});
  }

  std::optional<TokenId> find(std::string_view name) const {
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      if (vocabulary_.tokens[i] == name) return static_cast<TokenId>(i);
    }
    return std::nullopt;
  }

  TokenId need(std::string_view name) const {
    if (const auto found = find(name)) return *found;
    refuse("the token " + quoted(name), "none");
  }

  TokenId append(const std::string& token, TokenKind kind) {
    vocabulary_.tokens.push_back(token);
    vocabulary_.kinds.push_back(kind);
    vocabulary_.scores.push_back(0.0);
    return static_cast<TokenId>(vocabulary_.tokens.size()) - 1;
  }

  TokenId append_special(const std::string& token) {
    const TokenId id = append(token, TokenKind::control);
    vocabulary_.added.push_back({.text = token, .id = id, .special = true});
    return id;
  }

  void mask_takes_left(std::string_view mask) {
    for (AddedToken& token : vocabulary_.added) token.takes_left = token.takes_left || token.text == mask;
  }

  /// Sentinels lie behind the model's pieces, <extra_id_0> last.
  void t5() {
    if (!find("<extra_id_0>")) {
      for (std::size_t i = source_.sentinels; i-- > 0;) append_special("<extra_id_" + std::to_string(i) + ">");
    }
    vocabulary_.special.bos = std::nullopt;
    const TokenId eos = need("</s>");
    set_templates(vocabulary_, {}, {eos});
    vocabulary_.pair = {{.text = 0}, {.token = eos}, {.text = 1}, {.token = eos}};
  }

  void folded() {
    const bool albert = source_.family == "albert";
    Json list = Json::array();
    list.push(replace("String", "``", "\"")).push(replace("String", "''", "\"")).push(stage("NFKD")).push(stage("StripAccents"));
    if (albert) list.push(stage("Lowercase"));
    list.push(vocabulary_.normalizer);
    vocabulary_.normalizer = stage("Sequence").set("normalizers", list);
    SpecialTokens& special = vocabulary_.special;
    special.cls = need(albert ? "[CLS]" : "<cls>");
    special.sep = need(albert ? "[SEP]" : "<sep>");
    special.mask = find(albert ? "[MASK]" : "<mask>");
    special.pad = find("<pad>");
    mask_takes_left(albert ? "[MASK]" : "<mask>");
    const TemplatePart cls{.token = *special.cls}, sep{.token = *special.sep}, sep_behind{.token = *special.sep, .type = 1};
    const TemplatePart cls_behind{.token = *special.cls, .type = 2}, first{.text = 0}, second{.text = 1, .type = 1};
    vocabulary_.single = albert ? std::vector{cls, first, sep} : std::vector{first, sep, cls_behind};
    vocabulary_.pair = albert ? std::vector{cls, first, sep, second, sep_behind} : std::vector{first, sep, second, sep_behind, cls_behind};
  }

  /// Begins the vocabulary anew. @returns the model's own, whose first three tokens are <unk>, <s>, </s>
  Vocabulary cleared() {
    const Vocabulary old = vocabulary_;
    if (old.tokens.size() < 3 || old.tokens[0] != "<unk>" || old.tokens[1] != "<s>" || old.tokens[2] != "</s>") {
      refuse("a model that begins <unk>, <s>, </s>", quoted(old.tokens[0]));
    }
    vocabulary_.tokens.clear();
    vocabulary_.kinds.clear();
    vocabulary_.scores.clear();
    vocabulary_.added.clear();
    return old;
  }

  /// The model's own tokens from `first` on.
  void append_from(const Vocabulary& old, std::size_t first) {
    for (std::size_t i = first; i < old.tokens.size(); ++i) {
      const TokenId id = append(old.tokens[i], old.kinds[i]);
      vocabulary_.scores.back() = old.scores[i];
      if (old.kinds[i] == TokenKind::control) vocabulary_.added.push_back({.text = old.tokens[i], .id = id, .special = true});
    }
  }

  /// Four tokens before the model's own, whose <unk> is not used.
  void camembert() {
    const Vocabulary old = cleared();
    append("<s>NOTUSED", TokenKind::control);
    append_special("<pad>");
    append("</s>NOTUSED", TokenKind::control);
    append("<unk>", TokenKind::unknown);
    append("<unk>NOTUSED", TokenKind::control);
    append_from(old, 1);
    SpecialTokens& special = vocabulary_.special;
    special.bos = special.cls = need("<s>");
    special.pad = 1;
    special.eos = special.sep = need("</s>");
    special.unk = 3;
    special.mask = append_special("<mask>");
    mask_takes_left("<mask>");
    frame_pairs();
  }

  /// <s> text </s>, of two texts <s> first </s> </s> second </s>.
  void frame_pairs() {
    const TokenId first = *vocabulary_.special.bos, last = *vocabulary_.special.eos;
    set_templates(vocabulary_, {first}, {last});
    vocabulary_.pair = {{.token = first}, {.text = 0}, {.token = last}, {.token = last}, {.text = 1}, {.token = last}};
  }

  /// fairseq's dictionary begins <s>, <pad>, </s>, <unk>.
  void fairseq() {
    const Vocabulary old = cleared();
    for (const char* name : {"<s>", "<pad>", "</s>"}) append_special(name);
    append("<unk>", TokenKind::unknown);
    append_from(old, 3);
    SpecialTokens& special = vocabulary_.special;
    special.bos = special.cls = 0;
    special.pad = 1;
    special.eos = special.sep = 2;
    special.unk = 3;
    const std::string& family = source_.family;
    const char* codes = family == "mbart" ? mbart_languages : family == "mbart50" ? mbart50_languages : family == "nllb" ? nllb_languages : "";
    const std::string first_language = family == "nllb" ? "eng_Latn" : "en_XX";
    std::istringstream languages(codes);
    for (std::string code; languages >> code;) append_special(code);
    special.mask = append_special("<mask>");
    mask_takes_left("<mask>");
    if (family == "xlm-roberta") return frame_pairs();
    const TokenId language = need(source_.language.empty() ? first_language : source_.language);
    // mBART-25 writes the language behind the text, the later ones before it.
    family == "mbart" ? surround_both({}, {2, language}) : surround_both({language}, {2});
  }

  /// Two texts stand between one pair of marks, and all have type 0.
  void surround_both(const std::vector<TokenId>& prefix, const std::vector<TokenId>& suffix) {
    set_templates(vocabulary_, prefix, suffix);
    vocabulary_.pair = vocabulary_.single;
    const auto first = std::find_if(vocabulary_.pair.begin(), vocabulary_.pair.end(), [](const TemplatePart& part) { return part.text == 0; });
    vocabulary_.pair.insert(first + 1, {.text = 1});
  }

  /// The pieces' numbers are those of vocab.json; pieces that it lacks are unknown.
  void by_vocab() {
    const Vocabulary old = vocabulary_;
    if (!source_.vocab.is_object() || source_.vocab.members().empty()) refuse("vocab.json with tokens and their ids", "none");
    const std::size_t count = source_.vocab.members().size();
    vocabulary_.tokens.assign(count, "");
    vocabulary_.kinds.assign(count, TokenKind::control);
    vocabulary_.scores.assign(count, 0.0);
    vocabulary_.added.clear();
    std::map<std::string_view, std::size_t> places;
    for (const auto& [token, id] : source_.vocab.members()) {
      if (!id.is_integer() || id.integer() < 0 || id.integer() >= static_cast<std::int64_t>(count)) {
        refuse("ids below " + std::to_string(count) + " in vocab.json", quoted(id.dump()));
      }
      vocabulary_.tokens[static_cast<std::size_t>(id.integer())] = token;
      places[token] = static_cast<std::size_t>(id.integer());
    }
    const bool m2m100 = source_.family == "m2m100";
    if (m2m100) {
      std::istringstream languages(m2m100_languages);
      for (std::string code; languages >> code;) append_special("__" + code + "__");
    }
    place_pieces(old, places);
    const TokenId eos = need("</s>");
    SpecialTokens& special = vocabulary_.special;
    special.bos = std::nullopt;
    special.eos = eos;
    special.unk = need("<unk>");
    special.pad = find("<pad>");
    vocabulary_.kinds[static_cast<std::size_t>(*special.unk)] = TokenKind::unknown;
    for (const char* name : {"<s>", "</s>", "<pad>"}) {
      if (const auto id = find(name)) vocabulary_.added.push_back({.text = name, .id = *id, .special = true});
    }
    if (!m2m100) {
      for (const auto& [token, id] : places) {  // languages to translate to
        if (token.starts_with(">>") && token.ends_with("<<")) {
          vocabulary_.added.push_back({.text = std::string(token), .id = static_cast<TokenId>(id), .special = true});
        }
      }
    }
    std::vector<TokenId> prefix;
    if (m2m100) prefix.push_back(need("__" + (source_.language.empty() ? std::string("en") : source_.language) + "__"));
    surround_both(prefix, {eos});
  }

  void place_pieces(const Vocabulary& old, const std::map<std::string_view, std::size_t>& places) {
    for (std::size_t i = 0; i < old.tokens.size(); ++i) {
      const auto found = places.find(old.tokens[i]);
      const bool piece = old.kinds[i] == TokenKind::normal || old.kinds[i] == TokenKind::user_defined || old.kinds[i] == TokenKind::byte;
      if (!piece) continue;
      const std::size_t id = found == places.end() ? static_cast<std::size_t>(append(old.tokens[i], old.kinds[i])) : found->second;
      vocabulary_.kinds[id] = old.kinds[i];
      vocabulary_.scores[id] = old.scores[i];
      if (found == places.end()) ++vocabulary_.hidden;
    }
  }

  Vocabulary& vocabulary_;
  const FamilySource& source_;
};

}  // namespace

void arrange_family(Vocabulary& vocabulary, const FamilySource& source) {
  Family(vocabulary, source).arrange();
  note_added_specials(vocabulary);
}

}  // namespace vitrine
