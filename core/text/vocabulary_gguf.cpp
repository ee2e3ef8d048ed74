#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/text/vocabulary.h"

namespace vitrine {
namespace {

constexpr const char* llama3_tail = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// Pre-tokenisers by the name GGUF gives them.
std::vector<std::string> splits_named(const std::string& name) {
  const std::string contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|";
  const std::string rest = std::string("| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|") + llama3_tail;
  const std::map<std::string, std::vector<std::string>> table{{"gpt-2", {gpt2_split}},
                                                              {"smollm", {"\\p{N}", gpt2_split}},
                                                              {"llama-bpe", {contractions + "\\p{N}{1,3}" + rest}},
                                                              {"qwen2", {contractions + "\\p{N}" + rest}}};
  const auto found = table.find(name);
  return found == table.end() ? std::vector<std::string>{} : found->second;
}

class GgufVocabulary {
 public:
  GgufVocabulary(const Json& metadata, const std::string& where) : metadata_(metadata) { result_.where = where; }

  Vocabulary read() {
    const Json& model = value("model");
    if (model.is_null() && value("tokens").is_null()) return {};
    if (!model.is_string()) refuse("model", "a text", quoted(model.dump()));
    const std::map<std::string, std::string> names{{"gpt2", "bpe"}, {"llama", "spm"}, {"bert", "wordpiece"}};
    const auto name = names.find(model.string());
    if (name == names.end()) refuse("model", "gpt2, llama or bert", quoted(model.string()));
    result_.model = name->second;
    read_tokens();
    read_special();
    if (const Json& chat = metadata_["tokenizer.chat_template"]; chat.is_string()) result_.chat_template = chat.string();
    if (result_.model == "bpe") read_merges();
    if (result_.model == "spm") read_scores();
    if (result_.model == "wordpiece") spell_as_wordpiece();
    return std::move(result_);
  }

 private:
  const Json& value(const std::string& key) const { return metadata_["tokenizer.ggml." + key]; }

  [[noreturn]] void refuse(const std::string& key, std::string expected, std::string found) const {
    throw Error({result_.where + ": tokenizer.ggml." + key, std::move(expected), std::move(found), ""});
  }

  void read_tokens() {
    const Json &tokens = value("tokens"), &kinds = value("token_type");
    if (!tokens.is_array() || tokens.items().empty()) refuse("tokens", "a list of texts", "none");
    if (!kinds.is_null() && (!kinds.is_array() || kinds.items().size() != tokens.items().size())) {
      refuse("token_type", "one entry a token", "another number");
    }
    for (std::size_t i = 0; i < tokens.items().size(); ++i) {
      const Json& token = tokens.items()[i];
      if (!token.is_string()) refuse("tokens", "texts", quoted(token.dump()));
      const std::int64_t kind = kinds.is_array() && kinds.items()[i].is_integer() ? kinds.items()[i].integer() : 1;
      if (kind < 0 || kind > 6) refuse("token_type", "0 to 6", std::to_string(kind));
      result_.tokens.push_back(token.string());
      result_.kinds.push_back(kind == 0 ? TokenKind::normal : static_cast<TokenKind>(kind));
    }
  }

  std::optional<TokenId> id_of(const std::string& key) const {
    const Json& id = value(key);
    if (id.is_null()) return std::nullopt;
    if (!id.is_integer() || id.integer() < 0 || static_cast<std::size_t>(id.integer()) >= result_.tokens.size()) {
      refuse(key, "a token id below " + std::to_string(result_.tokens.size()), quoted(id.dump()));
    }
    return static_cast<TokenId>(id.integer());
  }

  bool flag(const std::string& key, bool otherwise) const { return value(key).is_bool() ? value(key).boolean() : otherwise; }

  void read_special() {
    SpecialTokens& special = result_.special;
    special.bos = id_of("bos_token_id");
    special.eos = id_of("eos_token_id");
    special.unk = id_of("unknown_token_id");
    special.pad = id_of("padding_token_id");
    special.sep = id_of("seperator_token_id");  // spelled so in the format
    special.cls = id_of("cls_token_id");
    special.mask = id_of("mask_token_id");
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      if (result_.tokens[i] == "<|im_end|>" || result_.tokens[i] == "<|eot_id|>") special.end_of_turn = static_cast<TokenId>(i);
    }
    const bool spm = result_.model == "spm";
    special.adds_bos = flag("add_bos_token", spm) && special.bos.has_value();
    special.adds_eos = flag("add_eos_token", false) && special.eos.has_value();
    result_.space_prefix = flag("add_space_prefix", spm);
    if (special.adds_bos) result_.prefix.push_back(*special.bos);
    if (special.adds_eos) result_.suffix.push_back(*special.eos);
  }

  void read_merges() {
    const Json &merges = value("merges"), &pre = value("pre");
    const std::string name = pre.is_string() ? pre.string() : "gpt-2";
    result_.splits = splits_named(name);
    if (result_.splits.empty()) refuse("pre", "gpt-2, smollm, llama-bpe or qwen2", quoted(name));
    result_.ignore_merges = name == "llama-bpe";
    if (!merges.is_array()) refuse("merges", "a list of texts", "none");
    for (const Json& merge : merges.items()) {
      const std::size_t space = merge.is_string() ? merge.string().find(' ', 1) : std::string::npos;
      if (space == std::string::npos) refuse("merges", "two tokens and a space", quoted(merge.dump()));
      result_.merges.emplace_back(merge.string().substr(0, space), merge.string().substr(space + 1));
    }
  }

  void read_scores() {
    const Json& scores = value("scores");
    if (!scores.is_array() || scores.items().size() != result_.tokens.size()) refuse("scores", "one number a token", "none or another number");
    for (const Json& score : scores.items()) {
      if (!score.is_number() || !std::isfinite(score.number())) refuse("scores", "finite numbers", quoted(score.dump()));
      result_.scores.push_back(static_cast<float>(score.number()));
    }
  }

  /// GGUF marks beginnings of words ("\u2581word"), the published vocabulary the others ("##ing").
  void spell_as_wordpiece() {
    constexpr std::string_view mark = "\u2581";
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      std::string& token = result_.tokens[i];
      if (token.starts_with(mark)) {
        token.erase(0, mark.size());
      } else if (result_.kinds[i] == TokenKind::normal && !(token.starts_with("[") && token.ends_with("]"))) {
        token.insert(0, "##");
      }
    }
    result_.lower_case = result_.strip_accents = true;
    SpecialTokens& special = result_.special;
    result_.prefix.clear();
    result_.suffix.clear();
    if (special.cls || special.bos) result_.prefix.push_back(special.cls ? *special.cls : *special.bos);
    if (special.sep || special.eos) result_.suffix.push_back(special.sep ? *special.sep : *special.eos);
    special.adds_bos = special.adds_eos = false;
  }

  const Json& metadata_;
  Vocabulary result_;
};

}  // namespace

Vocabulary read_gguf_vocabulary(const Json& metadata, const std::string& where) { return GgufVocabulary(metadata, where).read(); }

}  // namespace vitrine
