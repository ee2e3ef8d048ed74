#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/text/names.h"
#include "core/text/vocabulary.h"

// GGUF's tokenizer.ggml.* keys (ggml/docs/gguf.md, llama-vocab.cpp) as a line of stages.

namespace vitrine {
namespace {

constexpr std::string_view mark = "\u2581";

Json sequence(const char* list, std::initializer_list<Json> stages) {
  return Json::object().set("type", "Sequence").set(list, Json(Json::Array(stages)));
}
Json stage(const char* type) { return Json::object().set("type", type); }

class GgufVocabulary {
 public:
  GgufVocabulary(const Json& metadata, const std::string& where) : metadata_(metadata) { result_.where = where; }

  Vocabulary read() {
    const Json& model = value("model");
    if (model.is_null() && value("tokens").is_null()) return {};
    if (!model.is_string()) refuse("model", "a text", quoted(model.dump()));
    if (model.string() == "none") return {};
    static const std::map<std::string, std::string> names{{"gpt2", "bpe"}, {"llama", "spm"}, {"bert", "wordpiece"}, {"t5", "unigram"}, {"gemma4", "bpe"}};
    const auto name = names.find(model.string());
    if (name == names.end()) refuse("model", one_of(model.string(), {"gpt2", "llama", "bert", "t5", "gemma4"}), quoted(model.string()));
    result_.model = name->second;
    read_tokens();
    read_special();
    if (const Json& chat = metadata_["tokenizer.chat_template"]; chat.is_string()) result_.chat_template = chat.string();
    if (result_.model == "bpe") describe_bpe(model.string());
    if (result_.model == "spm" || result_.model == "unigram") describe_sentence_piece();
    if (result_.model == "wordpiece") describe_wordpiece();
    mark_stripping_tokens();
    note_added_specials(result_);
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
      const std::int64_t number = kinds.is_array() && kinds.items()[i].is_integer() ? kinds.items()[i].integer() : 1;
      if (number < 0 || number > 6) refuse("token_type", "0 to 6", std::to_string(number));
      const TokenKind kind = number == 0 ? TokenKind::normal : static_cast<TokenKind>(number);
      result_.tokens.push_back(token.string());
      result_.kinds.push_back(kind);
      // SentencePiece's user-defined symbols are the model's own: they stay whole, and no space is put behind them.
      const bool models_own = result_.model == "spm" || result_.model == "unigram";
      const bool added = kind == TokenKind::control || (kind == TokenKind::user_defined && !models_own);
      if (added) result_.added.push_back({.text = token.string(), .id = static_cast<TokenId>(i), .special = kind == TokenKind::control});
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
    if (!special.mask) special.mask = id_named("[MASK]") ? id_named("[MASK]") : id_named("<mask>");
    for (const char* name : {"<end_of_turn>", "<|eot_id|>", "<|im_end|>"}) {
      if (const auto found = id_named(name)) special.end_of_turn = found;
    }
    if (!special.unk && result_.model != "bpe") {
      for (std::size_t i = 0; i < result_.kinds.size(); ++i) {
        if (result_.kinds[i] == TokenKind::unknown && !special.unk) special.unk = static_cast<TokenId>(i);
      }
    }
    surround(result_.model == "spm", result_.model == "unigram");
  }

  std::optional<TokenId> id_named(std::string_view name) const {
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      if (result_.tokens[i] == name) return static_cast<TokenId>(i);
    }
    return std::nullopt;
  }

  /// @param bos, eos  whether they are added where the file does not say
  void surround(bool bos, bool eos) {
    std::vector<TokenId> prefix, suffix;
    if (flag("add_bos_token", bos) && result_.special.bos) prefix.push_back(*result_.special.bos);
    if (flag("add_eos_token", eos) && result_.special.eos) suffix.push_back(*result_.special.eos);
    set_templates(result_, prefix, suffix);
  }

  void describe_bpe(const std::string& model) {
    const Json &merges = value("merges"), &pre = value("pre");
    // Files from before there were names are GPT-2's.
    const std::string name = model == "gemma4" ? "gemma4" : pre.is_string() ? pre.string() : "gpt-2";
    NamedPreTokenizer named = pre_tokenizer_named(name, result_.where + ": tokenizer.ggml.pre");
    result_.pre_tokenizer = std::move(named.pre_tokenizer);
    result_.normalizer = std::move(named.normalizer);
    choose_alphabet(result_);
    result_.options.set("ignore_merges", named.ignore_merges);
    const bool bytes = result_.pre_tokenizer.dump().find("ByteLevel") != std::string::npos;
    if (!bytes) result_.options.set("byte_fallback", true);
    result_.decoder = bytes ? stage("ByteLevel") : sequence("decoders", {replace_marks(), stage("ByteFallback")});
    surround(named.adds_bos, false);
    if (named.mask_takes_left) mask_takes_left();
    if (!merges.is_array()) refuse("merges", "a list of texts", "none");
    for (const Json& merge : merges.items()) {
      const std::size_t space = merge.is_string() ? merge.string().find(' ', 1) : std::string::npos;
      if (space == std::string::npos) refuse("merges", "two tokens and a space", quoted(merge.dump()));
      result_.merges.emplace_back(merge.string().substr(0, space), merge.string().substr(space + 1));
    }
  }

  static Json replace_marks() {
    return stage("Replace").set("pattern", Json::object().set("String", mark)).set("content", " ");
  }

  void describe_sentence_piece() {
    read_scores();
    const bool spm = result_.model == "spm";
    const bool prefix = flag("add_space_prefix", spm), join = flag("remove_extra_whitespaces", false);
    Json symbols = Json::array();
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      if (result_.kinds[i] == TokenKind::user_defined) symbols.push(result_.tokens[i]);
    }
    result_.normalizer = stage("SentencePiece").set("charsmap", character_map()).set("user_defined", symbols).set("add_dummy_prefix", prefix);
    result_.normalizer.set("remove_extra_whitespaces", join).set("keep_bytes", spm);
    result_.options.set("style", "llama.cpp");
    const Json marks = stage("SentencePiece").set("add_dummy_prefix", prefix).set("remove_extra_whitespaces", join);
    result_.decoder = sequence("decoders", {marks, stage("ByteFallback")});
  }

  std::string character_map() const {
    const Json& list = value("precompiled_charsmap");
    if (list.is_null()) return "";
    if (!list.is_array()) refuse("precompiled_charsmap", "a list of bytes", quoted(list.dump()));
    std::string bytes;
    for (const Json& byte : list.items()) {
      if (!byte.is_integer() || byte.integer() < -128 || byte.integer() > 255) refuse("precompiled_charsmap", "bytes", quoted(byte.dump()));
      bytes += static_cast<char>(byte.integer());
    }
    return bytes;
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
  void describe_wordpiece() {
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      std::string& token = result_.tokens[i];
      if (token.starts_with(mark)) {
        token.erase(0, mark.size());
      } else if (result_.kinds[i] == TokenKind::normal && !(token.starts_with("[") && token.ends_with("]"))) {
        token.insert(0, "##");
      }
    }
    SpecialTokens& special = result_.special;
    if (!special.unk) refuse("unknown_token_id", "a token", "none");
    result_.options.set("unk_token", result_.tokens[static_cast<std::size_t>(*special.unk)]);
    const bool lower = flag("normalizer.lowercase", true);
    result_.normalizer = stage("BertNormalizer").set("lowercase", lower).set("strip_accents", flag("normalizer.strip_accents", lower));
    result_.pre_tokenizer = stage("BertPreTokenizer");
    result_.decoder = stage("WordPiece").set("cleanup", false);
    std::vector<TokenId> prefix, suffix;
    if (special.cls || special.bos) prefix.push_back(special.cls ? *special.cls : *special.bos);
    if (special.sep || special.eos) suffix.push_back(special.sep ? *special.sep : *special.eos);
    set_templates(result_, prefix, suffix);
  }

  void mask_takes_left() {
    for (AddedToken& token : result_.added) token.takes_left = token.takes_left || result_.special.mask == token.id;
  }

  /// Phi-3's published added tokens take the white space behind them; GGUF does not say so.
  void mark_stripping_tokens() {
    const Json& architecture = metadata_["general.architecture"];
    if (result_.model != "spm" || !architecture.is_string() || architecture.string() != "phi3") return;
    for (AddedToken& token : result_.added) {
      token.takes_right = token.text != "<unk>" && token.text != "<s>" && token.text != "<|endoftext|>";
    }
  }

  const Json& metadata_;
  Vocabulary result_;
};

}  // namespace

Vocabulary read_gguf_vocabulary(const Json& metadata, const std::string& where) { return GgufVocabulary(metadata, where).read(); }

}  // namespace vitrine
