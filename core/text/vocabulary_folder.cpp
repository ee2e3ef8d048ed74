#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "core/base/error.h"
#include "core/text/vocabulary.h"

// Hugging Face's files: tokenizer.json (the `tokenizers` library's own format), or the older vocab.txt and vocab.json with
// merges.txt, with tokenizer_config.json beside them.

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t largest_file = std::size_t{256} << 20;
constexpr std::int64_t most_tokens = 4'000'000;

std::optional<std::string> read_text(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return std::nullopt;
  if (fs::file_size(path, ignored) > largest_file) throw Error({path.string(), "at most 256 MiB", "more", ""});
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) throw Error({path.string(), "a readable file", "none", ""});
  return text;
}

Json read_json(const fs::path& path) {
  const auto text = read_text(path);
  return text ? parse_json(*text, path.string()) : Json();
}

std::string text_of(const Json& json) { return json.is_string() ? json.string() : ""; }

class FolderVocabulary {
 public:
  explicit FolderVocabulary(const fs::path& folder) : folder_(folder), config_(read_json(folder / "tokenizer_config.json")) {}

  Vocabulary read() {
    if (fs::exists(folder_ / "tokenizer.json")) {
      result_.where = (folder_ / "tokenizer.json").string();
      read_tokenizer_json(read_json(folder_ / "tokenizer.json"));
    } else if (const auto words = read_text(folder_ / "vocab.txt")) {
      result_.where = (folder_ / "vocab.txt").string();
      read_vocab_txt(*words);
    } else if (const auto merges = read_text(folder_ / "merges.txt"); merges && fs::exists(folder_ / "vocab.json")) {
      result_.where = (folder_ / "vocab.json").string();
      read_vocab_json(*merges);
    } else {
      return {};
    }
    read_config();
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
      result_.tokens.resize(at + 1);
      result_.kinds.resize(at + 1, TokenKind::unused);
    }
    result_.tokens[at] = token;
    result_.kinds[at] = kind;
    ids_[token] = static_cast<TokenId>(at);
  }

  void read_vocab(const Json& vocab, const std::string& field) {
    if (!vocab.is_object() || vocab.members().empty()) refuse(field, "tokens with their ids", "none");
    const auto most = static_cast<std::int64_t>(vocab.members().size()) * 2 + 1024;
    for (const auto& [token, id] : vocab.members()) {
      if (id.is_integer() && id.integer() > most) refuse(field, "ids without large gaps", std::to_string(id.integer()));
      put(token, id, TokenKind::normal, field);
    }
  }

  void read_tokenizer_json(const Json& json) {
    const Json& model = json["model"];
    std::string type = text_of(model["type"]);
    if (type.empty()) type = model["merges"].is_array() ? "BPE" : model["continuing_subword_prefix"].is_string() ? "WordPiece" : "";
    if (type != "BPE" && type != "WordPiece") refuse("model.type", "BPE or WordPiece", quoted(type));
    read_vocab(model["vocab"], "model.vocab");
    if (json["added_tokens"].is_array()) {
      for (const Json& token : json["added_tokens"].items()) {
        const bool special = token["special"].is_bool() && token["special"].boolean();
        put(text_of(token["content"]), token["id"], special ? TokenKind::control : TokenKind::user_defined, "added_tokens");
      }
    }
    type == "BPE" ? read_bpe(json, model) : read_wordpiece(json["normalizer"], model);
    read_post_processor(json["post_processor"]);
  }

  void read_bpe(const Json& json, const Json& model) {
    if (!model["merges"].is_array()) refuse("model.merges", "a list", "none");
    for (const Json& merge : model["merges"].items()) {
      if (merge.is_array() && merge.items().size() == 2 && merge.items()[0].is_string() && merge.items()[1].is_string()) {
        result_.merges.emplace_back(merge.items()[0].string(), merge.items()[1].string());
        continue;
      }
      const std::size_t space = merge.is_string() ? merge.string().find(' ', 1) : std::string::npos;
      if (space == std::string::npos) refuse("model.merges", "two tokens", quoted(merge.dump()));
      result_.merges.emplace_back(merge.string().substr(0, space), merge.string().substr(space + 1));
    }
    result_.ignore_merges = model["ignore_merges"].is_bool() && model["ignore_merges"].boolean();
    if (model["byte_fallback"].is_bool() && model["byte_fallback"].boolean()) return become_spm(json);
    result_.model = "bpe";
    read_pre_tokenizer(json["pre_tokenizer"]);
    if (result_.splits.empty()) refuse("pre_tokenizer", "ByteLevel, with Split or Digits before it", quoted(json["pre_tokenizer"].dump()));
  }

  /// A SentencePiece model written as merges: a token's score falls with the rank of the merge that makes it.
  void become_spm(const Json& json) {
    result_.model = "spm";
    result_.scores.assign(result_.tokens.size(), 0.0f);
    std::vector<bool> ranked(result_.tokens.size(), false);
    for (std::size_t rank = 0; rank < result_.merges.size(); ++rank) {
      const auto found = ids_.find(result_.merges[rank].first + result_.merges[rank].second);
      if (found == ids_.end() || ranked[static_cast<std::size_t>(found->second)]) continue;
      ranked[static_cast<std::size_t>(found->second)] = true;
      result_.scores[static_cast<std::size_t>(found->second)] = -static_cast<float>(rank);
    }
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      const std::string& token = result_.tokens[i];
      if (token.size() == 6 && token.starts_with("<0x") && token.ends_with(">")) result_.kinds[i] = TokenKind::byte;
    }
    const std::string rules = json["normalizer"].dump() + json["pre_tokenizer"].dump();
    result_.space_prefix = rules.find("\"Prepend\"") != std::string::npos || rules.find("\"prepend_scheme\":\"always\"") != std::string::npos ||
                           rules.find("\"prepend_scheme\":\"first\"") != std::string::npos;
    result_.merges.clear();
  }

  void read_pre_tokenizer(const Json& json) {
    const std::string type = text_of(json["type"]);
    if (type == "Sequence" && json["pretokenizers"].is_array()) {
      for (const Json& each : json["pretokenizers"].items()) read_pre_tokenizer(each);
    } else if (type == "ByteLevel") {
      result_.space_prefix = json["add_prefix_space"].is_bool() && json["add_prefix_space"].boolean();
      if (!(json["use_regex"].is_bool() && !json["use_regex"].boolean())) result_.splits.emplace_back(gpt2_split);
    } else if (type == "Digits") {
      const bool each = json["individual_digits"].is_bool() && json["individual_digits"].boolean();
      result_.splits.emplace_back(each ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Split" && json["pattern"]["Regex"].is_string() && text_of(json["behavior"]) == "Isolated") {
      result_.splits.push_back(json["pattern"]["Regex"].string());
    } else {
      refuse("pre_tokenizer", "ByteLevel, Digits, Split (isolated, regular expression) or a sequence of them", quoted(type));
    }
  }

  void read_wordpiece(const Json& normalizer, const Json& model) {
    result_.model = "wordpiece";
    const std::string prefix = text_of(model["continuing_subword_prefix"]);
    if (prefix != "##") refuse("model.continuing_subword_prefix", "##", quoted(prefix));
    if (!normalizer.is_null() && text_of(normalizer["type"]) != "BertNormalizer") {
      refuse("normalizer", "BertNormalizer", quoted(text_of(normalizer["type"])));
    }
    const auto flag = [&](const char* key, bool otherwise) { return normalizer[key].is_bool() ? normalizer[key].boolean() : otherwise; };
    result_.lower_case = flag("lowercase", true);
    result_.strip_accents = flag("strip_accents", result_.lower_case);
    result_.split_cjk = flag("handle_chinese_chars", true);
  }

  /// Ids that a template puts before and behind a single text.
  void read_post_processor(const Json& json) {
    const std::string type = text_of(json["type"]);
    if (type == "Sequence" && json["processors"].is_array()) {
      for (const Json& each : json["processors"].items()) read_post_processor(each);
    } else if (type == "TemplateProcessing" && json["single"].is_array()) {
      bool behind = false;
      for (const Json& part : json["single"].items()) {
        if (!part["Sequence"].is_null()) behind = true;
        if (part["SpecialToken"].is_null()) continue;
        const auto found = ids_.find(text_of(part["SpecialToken"]["id"]));
        if (found == ids_.end()) refuse("post_processor", "a token of the vocabulary", quoted(text_of(part["SpecialToken"]["id"])));
        (behind ? result_.suffix : result_.prefix).push_back(found->second);
      }
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      for (const auto& [key, list] : {std::pair("cls", &result_.prefix), std::pair("sep", &result_.suffix)}) {
        const Json& pair = json[key];
        const auto found = pair.is_array() && !pair.items().empty() ? ids_.find(text_of(pair.items()[0])) : ids_.end();
        if (found == ids_.end()) refuse("post_processor", "a token of the vocabulary", quoted(pair.dump()));
        list->push_back(found->second);
      }
    }
  }

  void read_vocab_txt(const std::string& text) {
    std::istringstream lines(text);
    std::int64_t id = 0;
    for (std::string line; std::getline(lines, line); ++id) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      const bool control = line.starts_with("[") && line.ends_with("]") && !line.starts_with("[unused") && line.size() > 2;
      put(line, id, control ? TokenKind::control : TokenKind::normal, "line " + std::to_string(id + 1));
    }
    if (result_.tokens.empty()) refuse("line 1", "a token a line", "an empty file");
    result_.model = "wordpiece";
    const Json& lower = config_["do_lower_case"];
    result_.lower_case = !lower.is_bool() || lower.boolean();
    result_.strip_accents = config_["strip_accents"].is_bool() ? config_["strip_accents"].boolean() : result_.lower_case;
    for (const auto& [name, list] : {std::pair("[CLS]", &result_.prefix), std::pair("[SEP]", &result_.suffix)}) {
      if (ids_.contains(name)) list->push_back(ids_.at(name));
    }
  }

  void read_vocab_json(const std::string& merges) {
    read_vocab(read_json(folder_ / "vocab.json"), "vocab.json");
    std::istringstream lines(merges);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.starts_with("#version") || line.empty()) continue;
      const std::size_t space = line.find(' ', 1);
      if (space == std::string::npos) refuse("merges.txt", "two tokens and a space", quoted(line));
      result_.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    }
    result_.model = "bpe";
    result_.splits = {gpt2_split};
    if (ids_.contains("<|endoftext|>")) result_.kinds[static_cast<std::size_t>(ids_.at("<|endoftext|>"))] = TokenKind::control;
  }

  /// A name in tokenizer_config.json: a text, or an object with its content.
  std::optional<TokenId> named(const char* key, const char* otherwise) const {
    const Json& value = config_[key];
    const std::string text = value.is_object() ? text_of(value["content"]) : value.is_string() ? value.string() : otherwise;
    const auto found = ids_.find(text);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

  void read_config() {
    const bool wordpiece = result_.model == "wordpiece";
    SpecialTokens& special = result_.special;
    special.bos = named("bos_token", wordpiece ? "" : "<|endoftext|>");
    special.eos = named("eos_token", wordpiece ? "" : "<|endoftext|>");
    special.unk = named("unk_token", wordpiece ? "[UNK]" : "<unk>");
    special.pad = named("pad_token", "[PAD]");
    special.cls = named("cls_token", "[CLS]");
    special.sep = named("sep_token", "[SEP]");
    special.mask = named("mask_token", "[MASK]");
    special.end_of_turn = named("", "<|im_end|>");
    special.adds_bos = special.bos && std::find(result_.prefix.begin(), result_.prefix.end(), *special.bos) != result_.prefix.end();
    special.adds_eos = special.eos && std::find(result_.suffix.begin(), result_.suffix.end(), *special.eos) != result_.suffix.end();
    const bool adds = config_["add_bos_token"].is_bool() && config_["add_bos_token"].boolean();
    if (adds && special.bos && !special.adds_bos) {
      result_.prefix.insert(result_.prefix.begin(), *special.bos);
      special.adds_bos = true;
    }
    const Json& chat = config_["chat_template"];
    result_.chat_template = text_of(chat.is_array() && !chat.items().empty() ? chat.items()[0]["template"] : chat);
  }

  fs::path folder_;
  Json config_;
  Vocabulary result_;
  std::map<std::string, TokenId> ids_;
};

}  // namespace

Vocabulary read_folder_vocabulary(const fs::path& folder) { return FolderVocabulary(folder).read(); }

}  // namespace vitrine
