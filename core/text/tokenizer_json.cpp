#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/text/names.h"
#include "core/text/vocabulary.h"

// tokenizer.json, the format of Hugging Face's `tokenizers`.

namespace vitrine {
namespace {

constexpr std::int64_t most_tokens = 4'000'000;

std::string text_of(const Json& json) { return json.is_string() ? json.string() : ""; }
bool is_true(const Json& json) { return json.is_bool() && json.boolean(); }

class TokenizerJson {
 public:
  TokenizerJson(const Json& json, const std::string& where) : json_(json) { result_.where = where; }

  Vocabulary read() {
    read_model();
    read_added_tokens();
    result_.normalizer = json_["normalizer"];
    result_.pre_tokenizer = json_["pre_tokenizer"];
    result_.decoder = json_["decoder"];
    choose_alphabet(result_);
    read_post_processor(json_["post_processor"], 0);
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(const std::string& field, std::string expected, std::string found) const {
    throw Error({result_.where + ": " + field, std::move(expected), std::move(found), ""});
  }

  void put(const std::string& token, const Json& id, TokenKind kind, const std::string& field) {
    if (!id.is_integer() || id.integer() < 0 || id.integer() >= most_tokens) refuse(field, "a token id", quoted(id.dump()));
    const auto at = static_cast<std::size_t>(id.integer());
    if (at >= result_.tokens.size()) {
      if (at > result_.tokens.size() * 2 + 1024 + room_) refuse(field, "ids without large gaps", std::to_string(at));
      result_.tokens.resize(at + 1);
      result_.kinds.resize(at + 1, TokenKind::unused);
      if (!result_.scores.empty()) result_.scores.resize(at + 1, 0.0);
    }
    result_.tokens[at] = token;
    result_.kinds[at] = kind;
    ids_[token] = static_cast<TokenId>(at);
  }

  std::string model_type(const Json& model) const {
    if (const std::string type = text_of(model["type"]); !type.empty()) return type;
    if (model["merges"].is_array()) return "BPE";
    if (model["vocab"].is_array()) return "Unigram";
    return model["continuing_subword_prefix"].is_string() ? "WordPiece" : "WordLevel";
  }

  void read_model() {
    const Json& model = json_["model"];
    if (!model.is_object()) refuse("model", "an object", quoted(model.dump()));
    static const std::map<std::string, std::string> names{{"BPE", "bpe"}, {"Unigram", "unigram"}, {"WordPiece", "wordpiece"}, {"WordLevel", "wordlevel"}};
    const std::string type = model_type(model);
    const auto name = names.find(type);
    if (name == names.end()) refuse("model.type", one_of(type, {"BPE", "Unigram", "WordPiece", "WordLevel"}), quoted(type));
    result_.model = name->second;
    for (const auto& [key, value] : model.members()) {
      if (key != "vocab" && key != "merges" && key != "type") result_.options.set(key, value);
    }
    result_.model == "unigram" ? read_pieces(model["vocab"]) : read_vocab(model["vocab"]);
    if (result_.model == "bpe") read_merges(model["merges"]);
    if (is_true(model["byte_fallback"])) {
      for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
        if (byte_token(result_.tokens[i])) result_.kinds[i] = TokenKind::byte;
      }
    }
  }

  void read_vocab(const Json& vocab) {
    if (!vocab.is_object() || vocab.members().empty()) refuse("model.vocab", "tokens with their ids", "none");
    room_ = vocab.members().size() * 2;
    for (const auto& [token, id] : vocab.members()) put(token, id, TokenKind::normal, "model.vocab");
  }

  void read_pieces(const Json& vocab) {
    if (!vocab.is_array() || vocab.items().empty()) refuse("model.vocab", "pieces with their scores", "none");
    for (const Json& entry : vocab.items()) {
      const bool pair = entry.is_array() && entry.items().size() == 2 && entry.items()[0].is_string() && entry.items()[1].is_number();
      if (!pair || !std::isfinite(entry.items()[1].number())) refuse("model.vocab", "[piece, score]", quoted(entry.dump()));
      put(entry.items()[0].string(), Json(static_cast<std::uint64_t>(result_.tokens.size())), TokenKind::normal, "model.vocab");
      result_.scores.resize(result_.tokens.size());
      result_.scores.back() = entry.items()[1].number();
    }
  }

  void read_merges(const Json& merges) {
    if (!merges.is_array()) refuse("model.merges", "a list", "none");
    for (const Json& merge : merges.items()) {
      if (merge.is_array() && merge.items().size() == 2 && merge.items()[0].is_string() && merge.items()[1].is_string()) {
        result_.merges.emplace_back(merge.items()[0].string(), merge.items()[1].string());
        continue;
      }
      const std::size_t space = merge.is_string() ? merge.string().find(' ', 1) : std::string::npos;
      if (space == std::string::npos) refuse("model.merges", "two tokens", quoted(merge.dump()));
      result_.merges.emplace_back(merge.string().substr(0, space), merge.string().substr(space + 1));
    }
  }

  void read_added_tokens() {
    const Json& added = json_["added_tokens"];
    if (added.is_null()) return;
    if (!added.is_array()) refuse("added_tokens", "a list", quoted(added.dump()));
    for (const Json& token : added.items()) {
      AddedToken one{.text = text_of(token["content"]), .special = is_true(token["special"])};
      if (one.text.empty()) continue;
      // A special token is not looked for behind the normalizers unless it says so.
      one.normalized = token["normalized"].is_bool() ? token["normalized"].boolean() : !one.special;
      one.single_word = is_true(token["single_word"]);
      one.takes_left = is_true(token["lstrip"]);
      one.takes_right = is_true(token["rstrip"]);
      // The number of a token that the model has is the model's.
      const auto known = ids_.find(one.text);
      const Json id = known == ids_.end() ? token["id"] : Json(static_cast<std::int64_t>(known->second));
      put(one.text, id, one.special ? TokenKind::control : TokenKind::user_defined, "added_tokens");
      one.id = ids_.at(one.text);
      if (known == ids_.end()) {
        result_.outside.resize(result_.tokens.size(), false);
        result_.outside[static_cast<std::size_t>(one.id)] = true;
      }
      result_.added.push_back(one);
    }
  }

  TokenId known_token(const std::string& token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) refuse("post_processor", "a token of the vocabulary", quoted(token));
    return found->second;
  }

  TokenId checked_id(const Json& id) const {
    if (!id.is_integer() || id.integer() < 0 || id.integer() >= static_cast<std::int64_t>(result_.tokens.size())) {
      refuse("post_processor", "token ids below " + std::to_string(result_.tokens.size()), quoted(id.dump()));
    }
    return static_cast<TokenId>(id.integer());
  }

  void read_post_processor(const Json& json, int depth) {
    const std::string type = text_of(json["type"]);
    if (json.is_null() || type == "ByteLevel") return;  // ByteLevel trims spaces from offsets; here a token keeps all its bytes
    if (type == "Sequence" && json["processors"].is_array() && depth < 8) {
      for (const Json& each : json["processors"].items()) read_post_processor(each, depth + 1);
    } else if (type == "TemplateProcessing") {
      result_.single = template_parts(json["single"], json["special_tokens"]);
      if (json.has("pair")) result_.pair = template_parts(json["pair"], json["special_tokens"]);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      const TemplatePart cls{.token = pair_token(json["cls"])}, sep{.token = pair_token(json["sep"])};
      result_.single = {cls, {.text = 0}, sep};
      TemplatePart last = sep;
      last.type = 1;
      if (type == "BertProcessing") result_.pair = {cls, {.text = 0}, sep, {.text = 1, .type = 1}, last};
      if (type == "RobertaProcessing") result_.pair = {cls, {.text = 0}, sep, sep, {.text = 1}, sep};
    } else {
      refuse("post_processor", one_of(type, {"TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence"}), quoted(type));
    }
  }

  TokenId pair_token(const Json& pair) const {
    if (!pair.is_array() || pair.items().size() != 2) refuse("post_processor", "[token, id]", quoted(pair.dump()));
    return checked_id(pair.items()[1]);
  }

  std::vector<TemplatePart> template_parts(const Json& list, const Json& specials) const {
    if (!list.is_array()) refuse("post_processor", "a list of parts", quoted(list.dump()));
    std::vector<TemplatePart> parts;
    for (const Json& part : list.items()) {
      const Json &text = part["Sequence"], &token = part["SpecialToken"];
      const Json& type_id = text.is_null() ? token["type_id"] : text["type_id"];
      const int type = type_id.is_integer() ? static_cast<int>(std::clamp<std::int64_t>(type_id.integer(), 0, 1 << 20)) : 0;
      if (!text.is_null()) {
        parts.push_back({.text = text_of(text["id"]) == "B" ? 1 : 0, .type = type});
        continue;
      }
      const std::string name = text_of(token["id"]);
      const Json& ids = specials[name]["ids"];
      if (!ids.is_array()) {
        parts.push_back({.token = known_token(name), .type = type});
        continue;
      }
      for (const Json& id : ids.items()) parts.push_back({.token = checked_id(id), .type = type});
    }
    return parts;
  }

  const Json& json_;
  Vocabulary result_;
  std::map<std::string, TokenId> ids_;
  std::size_t room_ = 0;  // ids may lie this far behind the last one
};

}  // namespace

Vocabulary read_tokenizer_json(const Json& json, const std::string& where) { return TokenizerJson(json, where).read(); }

}  // namespace vitrine
