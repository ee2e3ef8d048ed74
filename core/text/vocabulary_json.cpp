#include "core/text/vocabulary_json.h"

#include <algorithm>
#include <tuple>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "core/text/stages.h"

namespace vitrine {
namespace {

constexpr std::string_view mark = "\u2581";

Json stage(const char* type) { return Json::object().set("type", type); }
Json replace(const char* key, std::string_view pattern, std::string_view content) {
  return stage("Replace").set("pattern", Json::object().set(key, pattern)).set("content", content);
}
std::string type_of(const Json& stage) { return stage["type"].is_string() ? stage["type"].string() : ""; }
bool flag(const Json& json, std::string_view key, bool otherwise) { return json[key].is_bool() ? json[key].boolean() : otherwise; }

/// Several as a Sequence, one alone, none as null.
Json joined_stages(const char* list, const std::vector<Json>& stages) {
  if (stages.empty()) return {};
  if (stages.size() == 1) return stages.front();
  return stage("Sequence").set(list, Json(Json::Array(stages.begin(), stages.end())));
}

std::vector<Json> completed(const Json& stages) {
  std::vector<Json> list;
  for (const Json& each : single_stages(stages)) list.push_back(completed_stage(each));
  return list;
}

class JsonWriter {
 public:
  explicit JsonWriter(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    for (const Json& each : single_stages(vocabulary.normalizer)) {
      if (type_of(each) == "SentencePiece") pieces_ = each;
    }
  }

  Json write() {
    Json json = Json::object().set("version", "1.0").set("truncation", Json()).set("padding", Json()).set("added_tokens", added_tokens());
    json.set("normalizer", joined_stages("normalizers", normalizers()));
    json.set("pre_tokenizer", joined_stages("pretokenizers", pre_tokenizers()));
    json.set("post_processor", post_processor()).set("decoder", joined_stages("decoders", decoders()));
    return json.set("model", model());
  }

 private:
  bool of_pieces() const { return !pieces_.is_null(); }
  bool prefixes() const { return flag(pieces_, "add_dummy_prefix", true); }
  bool joins() const { return flag(pieces_, "remove_extra_whitespaces", true); }
  bool is_unigram() const { return vocabulary_.model == "unigram"; }

  Json added_tokens() const {
    Json list = Json::array();
    const auto add = [&](const AddedToken& token) {
      Json entry = Json::object().set("id", static_cast<std::int64_t>(token.id)).set("content", token.text).set("single_word", token.single_word);
      entry.set("lstrip", token.takes_left).set("rstrip", token.takes_right).set("normalized", token.normalized);
      list.push(entry.set("special", token.special));
    };
    std::vector<AddedToken> tokens = vocabulary_.added;
    for (std::size_t i = 0; of_pieces() && i < vocabulary_.tokens.size(); ++i) {
      if (vocabulary_.kinds[i] == TokenKind::user_defined) tokens.push_back({.text = vocabulary_.tokens[i], .id = static_cast<TokenId>(i)});
    }
    std::ranges::sort(tokens, {}, &AddedToken::id);
    for (const AddedToken& token : tokens) add(token);
    return list;
  }

  std::vector<Json> normalizers() const {
    if (!of_pieces()) return completed(vocabulary_.normalizer);
    std::vector<Json> list;
    for (const Json& each : single_stages(vocabulary_.normalizer)) {
      if (type_of(each) != "SentencePiece") list.push_back(completed_stage(each));
    }
    const Json& map = pieces_["charsmap"];
    if (map.is_string() && !map.string().empty()) list.push_back(stage("Precompiled").set("precompiled_charsmap", base64_of(map.string())));
    if (joins()) {
      list.push_back(stage("Strip").set("strip_left", true).set("strip_right", true));
      list.push_back(replace("Regex", " {2,}", " "));
    }
    if (is_unigram()) return list;  // its pre-tokenizer marks spaces
    if (prefixes()) list.push_back(stage("Prepend").set("prepend", mark));
    list.push_back(replace("String", " ", mark));
    return list;
  }

  Json metaspace() const {
    return stage("Metaspace").set("replacement", mark).set("prepend_scheme", prefixes() ? "always" : "never").set("split", marks_only_begin_tokens(vocabulary_));
  }

  std::vector<Json> pre_tokenizers() const {
    if (!of_pieces()) return completed(vocabulary_.pre_tokenizer);
    return is_unigram() ? std::vector{metaspace()} : std::vector<Json>{};
  }

  std::vector<Json> decoders() const {
    if (!of_pieces()) return completed(vocabulary_.decoder);
    if (is_unigram()) return {metaspace()};
    std::vector<Json> list{replace("String", mark, " "), stage("ByteFallback"), stage("Fuse")};
    if (prefixes()) list.push_back(stage("Strip").set("content", " ").set("start", 1).set("stop", 0));
    return list;
  }

  Json template_of(const std::vector<TemplatePart>& parts, Json& specials) const {
    Json list = Json::array();
    for (const TemplatePart& part : parts) {
      if (part.text >= 0) {
        list.push(Json::object().set("Sequence", Json::object().set("id", part.text == 0 ? "A" : "B").set("type_id", part.type)));
        continue;
      }
      const std::string& name = vocabulary_.tokens[static_cast<std::size_t>(part.token)];
      list.push(Json::object().set("SpecialToken", Json::object().set("id", name).set("type_id", part.type)));
      specials.set(name, Json::object().set("id", name).set("ids", Json::array().push(static_cast<std::int64_t>(part.token))).set("tokens", Json::array().push(name)));
    }
    return list;
  }

  Json post_processor() const {
    const bool adds = std::ranges::any_of(vocabulary_.single, [](const TemplatePart& part) { return part.token >= 0; });
    if (!adds) return vocabulary_.alphabet == Alphabet::bytes ? completed_stage(stage("ByteLevel").set("trim_offsets", false)) : Json();
    Json specials = Json::object();
    Json single = template_of(vocabulary_.single, specials), pair = template_of(vocabulary_.pair, specials);
    return stage("TemplateProcessing").set("single", single).set("pair", pair).set("special_tokens", specials);
  }

  /// Tokens with their ids; what is unused has no text of its own.
  Json vocab() const {
    Json::Object members;
    const auto ids = ids_of_tokens(vocabulary_);
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const std::string& token = vocabulary_.tokens[i];
      if (vocabulary_.kinds[i] == TokenKind::unused || token.empty() || ids.at(token) != static_cast<TokenId>(i)) continue;
      members.emplace_back(token, static_cast<std::int64_t>(i));
    }
    return members;
  }

  Json unknown() const {
    return vocabulary_.special.unk ? Json(vocabulary_.tokens[static_cast<std::size_t>(*vocabulary_.special.unk)]) : Json();
  }

  Json model() const {
    if (vocabulary_.model == "bpe") return bpe(vocabulary_.merges);
    if (vocabulary_.model == "spm") return bpe(merges_of_scores());
    if (vocabulary_.model == "unigram") return unigram();
    if (vocabulary_.model == "wordpiece") return word_piece();
    throw Error({vocabulary_.where + ": tokenizer", "byte-pair encoding, unigram or WordPiece", vocabulary_.model, ""});
  }

  Json bpe(const std::vector<std::pair<std::string, std::string>>& merges) const {
    Json pairs = Json::array();
    for (const auto& [left, right] : merges) pairs.push(Json::array().push(left).push(right));
    const bool bytes = std::ranges::find(vocabulary_.kinds, TokenKind::byte) != vocabulary_.kinds.end();
    const Json& options = vocabulary_.options;
    Json model = stage("BPE").set("dropout", Json()).set("unk_token", of_pieces() ? unknown() : options["unk_token"]);
    model.set("continuing_subword_prefix", options["continuing_subword_prefix"]).set("end_of_word_suffix", options["end_of_word_suffix"]);
    model.set("fuse_unk", of_pieces() || flag(options, "fuse_unk", false)).set("byte_fallback", (of_pieces() && bytes) || flag(options, "byte_fallback", false));
    return model.set("ignore_merges", flag(options, "ignore_merges", false)).set("vocab", vocab()).set("merges", pairs);
  }

  /// Every way to make a piece of two others; pieces with higher scores first, and of one piece those with the longer left part.
  std::vector<std::pair<std::string, std::string>> merges_of_scores() const {
    struct Merge {
      double score;
      std::size_t left_bytes;
      TokenId id;
    };
    const auto ids = ids_of_tokens(vocabulary_);
    const auto is_piece = [&](std::string_view text) {
      const auto found = ids.find(text);
      if (found == ids.end()) return false;
      const TokenKind kind = vocabulary_.kinds[static_cast<std::size_t>(found->second)];
      return kind == TokenKind::normal || kind == TokenKind::user_defined;
    };
    std::vector<Merge> found;
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const std::string_view token = vocabulary_.tokens[i];
      if (!is_piece(token) || ids.at(token) != static_cast<TokenId>(i)) continue;
      for (std::size_t at = 1; at < token.size(); ++at) {
        const bool inside = (static_cast<unsigned char>(token[at]) & 0xc0) == 0x80;
        if (!inside && is_piece(token.substr(0, at)) && is_piece(token.substr(at))) found.push_back({vocabulary_.scores[i], at, static_cast<TokenId>(i)});
      }
    }
    std::ranges::stable_sort(found, [](const Merge& a, const Merge& b) { return std::tuple(-a.score, a.id, b.left_bytes) < std::tuple(-b.score, b.id, a.left_bytes); });
    std::vector<std::pair<std::string, std::string>> merges;
    for (const Merge& merge : found) {
      const std::string& token = vocabulary_.tokens[static_cast<std::size_t>(merge.id)];
      merges.emplace_back(token.substr(0, merge.left_bytes), token.substr(merge.left_bytes));
    }
    return merges;
  }

  Json unigram() const {
    Json pieces = Json::array();
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) pieces.push(Json::array().push(vocabulary_.tokens[i]).push(vocabulary_.scores[i]));
    Json id = vocabulary_.options["unk_id"];
    if (id.is_null() && vocabulary_.special.unk) id = static_cast<std::int64_t>(*vocabulary_.special.unk);
    return stage("Unigram").set("unk_id", id).set("vocab", pieces).set("byte_fallback", flag(vocabulary_.options, "byte_fallback", false));
  }

  Json word_piece() const {
    const Json& options = vocabulary_.options;
    const auto option = [&](const char* key, Json otherwise) { return options.has(key) ? options[key] : std::move(otherwise); };
    Json model = stage("WordPiece").set("unk_token", option("unk_token", "[UNK]")).set("continuing_subword_prefix", option("continuing_subword_prefix", "##"));
    return model.set("max_input_chars_per_word", option("max_input_chars_per_word", 100)).set("vocab", vocab());
  }

  const Vocabulary& vocabulary_;
  Json pieces_;  // SentencePiece's normalizer, null where there is none
};

}  // namespace

Json completed_stage(const Json& given) {
  Json::Object kept;
  for (const auto& [key, value] : given.members()) {
    if (key != "maps") kept.emplace_back(key, value);
  }
  Json result(std::move(kept));
  const auto otherwise = [&](const char* key, Json value) {
    if (!result.has(key)) result.set(key, std::move(value));
  };
  const std::string type = type_of(given);
  if (type == "ByteLevel") {
    otherwise("add_prefix_space", true);
    otherwise("trim_offsets", true);
    otherwise("use_regex", true);
  } else if (type == "Split") {
    otherwise("invert", false);
  } else if (type == "Digits") {
    otherwise("individual_digits", false);
  } else if (type == "Punctuation") {
    otherwise("behavior", "Isolated");
  } else if (type == "BertNormalizer") {
    for (const char* key : {"clean_text", "handle_chinese_chars", "lowercase"}) otherwise(key, true);
    if (!result.has("strip_accents")) result.set("strip_accents", Json());
  } else if (type == "WordPiece") {
    otherwise("prefix", "##");
    otherwise("cleanup", true);
  }
  return result;
}

Json tokenizer_json(const Vocabulary& vocabulary) { return JsonWriter(vocabulary).write(); }

Json tokenizer_config(const Vocabulary& vocabulary, std::size_t context) {
  Json config = Json::object().set("tokenizer_class", "PreTrainedTokenizerFast").set("clean_up_tokenization_spaces", false);
  const SpecialTokens& special = vocabulary.special;
  const auto name = [&](const char* key, const std::optional<TokenId>& id) {
    if (id) config.set(key, vocabulary.tokens[static_cast<std::size_t>(*id)]);
  };
  name("bos_token", special.bos);
  name("eos_token", special.eos);
  name("unk_token", special.unk);
  name("sep_token", special.sep);
  name("pad_token", special.pad);
  name("cls_token", special.cls);
  name("mask_token", special.mask);
  if (context > 0) config.set("model_max_length", static_cast<std::uint64_t>(context));
  if (!vocabulary.chat_template.empty()) config.set("chat_template", vocabulary.chat_template);
  return config;
}

}  // namespace vitrine
