#include <algorithm>
#include <sstream>

#include "core/base/error.h"
#include "core/base/whole_file.h"
#include "core/text/vocabulary.h"

// A Hugging Face folder: tokenizer.json (the `tokenizers` library's own format); or what stood there before it: a SentencePiece
// model, vocab.txt, or vocab.json with merges.txt; tokenizer_config.json beside them.

namespace vitrine {
namespace {

constexpr std::int64_t most_sentinels = 10000;

namespace fs = std::filesystem;
constexpr std::uint64_t largest_file = 256;  // MiB
constexpr std::int64_t most_tokens = 4'000'000;

std::optional<std::string> read_text(const fs::path& path) { return read_whole_file(path, largest_file); }

Json read_json(const fs::path& path) {
  const auto text = read_text(path);
  return text ? parse_json(*text, path.string()) : Json();
}

std::string text_of(const Json& json) { return json.is_string() ? json.string() : ""; }
bool is_true(const Json& json) { return json.is_bool() && json.boolean(); }
Json stage(const char* type) { return Json::object().set("type", type); }

class FolderVocabulary {
 public:
  explicit FolderVocabulary(const fs::path& folder)
      : folder_(folder), config_(read_json(folder / "tokenizer_config.json")), family_(family_of_folder()) {}

  Vocabulary read() {
    const bool found = read_tokenizer_json_file() || read_sentence_piece_files() || read_vocab_txt() || read_vocab_json();
    if (!found) return {};
    read_config();
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(const std::string& field, std::string expected, std::string found) const {
    throw Error({result_.where + ": " + field, std::move(expected), std::move(found), ""});
  }

  /// The model's family in small letters without marks: "xlmroberta" from XLMRobertaTokenizerFast or xlm-roberta.
  std::string family_of_folder() const {
    std::string name = text_of(config_["tokenizer_class"]);
    for (const char* ending : {"Fast", "Tokenizer"}) {
      if (name.ends_with(ending)) name.resize(name.size() - std::string_view(ending).size());
    }
    if (name.empty() || name == "PreTrained") name = text_of(read_json(folder_ / "config.json")["model_type"]);
    std::erase_if(name, [](char c) { return c == '-' || c == '_'; });
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return name;
  }

  bool read_tokenizer_json_file() {
    const fs::path path = folder_ / "tokenizer.json";
    const Json json = read_json(path);
    if (json.is_null()) return false;
    result_ = read_tokenizer_json(json, path.string());
    return true;
  }

  bool read_sentence_piece_files() {
    for (const char* name : {"spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "source.spm", "spm.model", "sentencepiece.model"}) {
      const auto bytes = read_text(folder_ / name);
      if (!bytes) continue;
      result_ = read_sentence_piece(*bytes, (folder_ / name).string());
      FamilySource source{family_of_model(name), text_of(config_["src_lang"]), read_json(folder_ / "vocab.json")};
      if (const Json& count = config_["extra_ids"]; count.is_integer() && count.integer() >= 0 && count.integer() <= most_sentinels) {
        source.sentinels = static_cast<std::size_t>(count.integer());
      }
      arrange_family(result_, source);
      return true;
    }
    return false;
  }

  std::string family_of_model(std::string_view file) const {
    if (file == "source.spm") return "marian";
    if (family_ == "m2m100") return fs::exists(folder_ / "vocab.json") ? "m2m100" : "nllb";
    if (family_ == "mt5" || family_ == "umt5" || family_ == "longt5") return "t5";
    if (family_ == "xlmroberta" || family_ == "xlmrobertaxl") return "xlm-roberta";
    return family_;
  }

  void put(const std::string& token, const Json& id, TokenKind kind, const std::string& field) {
    if (!id.is_integer() || id.integer() < 0 || id.integer() >= most_tokens) refuse(field, "a token id", quoted(id.dump()));
    const auto at = static_cast<std::size_t>(id.integer());
    if (at >= result_.tokens.size()) {
      result_.tokens.resize(at + 1);
      result_.kinds.resize(at + 1, TokenKind::unused);
      if (!result_.scores.empty()) result_.scores.resize(at + 1, 0.0);
    }
    result_.tokens[at] = token;
    result_.kinds[at] = kind;
  }

  std::optional<TokenId> find(std::string_view name) const {
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      if (result_.tokens[i] == name && !name.empty()) return static_cast<TokenId>(i);
    }
    return std::nullopt;
  }

  void add_special(std::string_view name) {
    const auto id = find(name);
    if (!id || std::any_of(result_.added.begin(), result_.added.end(), [&](const AddedToken& token) { return token.id == *id; })) return;
    result_.kinds[static_cast<std::size_t>(*id)] = TokenKind::control;
    result_.added.push_back({.text = std::string(name), .id = *id, .special = true});
  }

  std::vector<TokenId> those_of(std::initializer_list<const char*> names) const {
    std::vector<TokenId> ids;
    for (const char* name : names) {
      if (const auto id = find(name)) ids.push_back(*id);
    }
    return ids;
  }

  bool read_vocab_txt() {
    const auto text = read_text(folder_ / "vocab.txt");
    if (!text) return false;
    result_.where = (folder_ / "vocab.txt").string();
    std::istringstream lines(*text);
    std::int64_t id = 0;
    for (std::string line; std::getline(lines, line); ++id) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      put(line, id, TokenKind::normal, "line " + std::to_string(id + 1));
    }
    if (result_.tokens.empty()) refuse("line 1", "a token a line", "an empty file");
    result_.model = "wordpiece";
    const Json& lower = config_["do_lower_case"];
    const bool lowers = !lower.is_bool() || lower.boolean();
    const bool strips = config_["strip_accents"].is_bool() ? config_["strip_accents"].boolean() : lowers;
    const Json& separates = config_["tokenize_chinese_chars"];
    result_.normalizer = stage("BertNormalizer").set("lowercase", lowers).set("strip_accents", strips);
    result_.normalizer.set("handle_chinese_chars", !separates.is_bool() || separates.boolean());
    result_.pre_tokenizer = stage("BertPreTokenizer");
    result_.decoder = stage("WordPiece");
    result_.options.set("unk_token", named_text("unk_token", "[UNK]"));
    for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) add_special(name);
    set_templates(result_, those_of({"[CLS]"}), those_of({"[SEP]"}));
    return true;
  }

  bool read_vocab_json() {
    const auto merges = read_text(folder_ / "merges.txt");
    const Json vocab = read_json(folder_ / "vocab.json");
    if (!merges || vocab.is_null()) return false;
    result_.where = (folder_ / "vocab.json").string();
    if (!vocab.is_object() || vocab.members().empty()) refuse("vocab.json", "tokens with their ids", "none");
    const auto most = static_cast<std::int64_t>(vocab.members().size()) * 2 + 1024;
    for (const auto& [token, id] : vocab.members()) {
      if (id.is_integer() && id.integer() > most) refuse("vocab.json", "ids without large gaps", std::to_string(id.integer()));
      put(token, id, TokenKind::normal, "vocab.json");
    }
    std::istringstream lines(*merges);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.starts_with("#version") || line.empty()) continue;
      const std::size_t space = line.find(' ', 1);
      if (space == std::string::npos) refuse("merges.txt", "two tokens and a space", quoted(line));
      // Some files carry a count behind the pair.
      const std::size_t end = line.find(' ', space + 1);
      result_.merges.emplace_back(line.substr(0, space), line.substr(space + 1, end == std::string::npos ? end : end - space - 1));
    }
    result_.model = "bpe";
    ends_words() ? describe_word_bpe() : describe_byte_bpe();
    return true;
  }

  bool ends_words() const {
    return std::any_of(result_.tokens.begin(), result_.tokens.end(), [](const std::string& token) { return token.ends_with("</w>"); });
  }

  /// GPT-1: pieces of lower-case words, whose last one carries </w>.
  void describe_word_bpe() {
    result_.options.set("end_of_word_suffix", "</w>").set("unk_token", named_text("unk_token", "<unk>"));
    result_.normalizer = stage("BertNormalizer").set("lowercase", true);
    result_.pre_tokenizer = stage("BertPreTokenizer");
    result_.decoder = stage("BPEDecoder").set("suffix", "</w>");
    add_special(named_text("unk_token", "<unk>"));
  }

  void describe_byte_bpe() {
    result_.pre_tokenizer = stage("ByteLevel").set("add_prefix_space", is_true(config_["add_prefix_space"]));
    result_.decoder = stage("ByteLevel");
    choose_alphabet(result_);
    const bool unnamed = family_.empty() && find("<s>") && find("</s>") && find("<mask>");
    const bool marked = unnamed || family_ == "roberta" || family_ == "bart" || family_ == "longformer" || family_ == "led" || family_ == "blenderbot";
    if (!marked) {
      add_special("<|endoftext|>");
      return;
    }
    for (const char* name : {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}) add_special(name);
    for (AddedToken& token : result_.added) token.takes_left = token.text == "<mask>";
    const std::vector<TokenId> begin = those_of({"<s>"}), end = those_of({"</s>"});
    if (begin.empty() || end.empty()) refuse("special tokens", "<s> and </s>", "none");
    const TemplatePart cls{.token = begin[0]}, sep{.token = end[0]};
    result_.single = {cls, {.text = 0}, sep};
    result_.pair = {cls, {.text = 0}, sep, sep, {.text = 1}, sep};
  }

  /// A name in tokenizer_config.json: a text, or an object with its content.
  std::string named_text(const char* key, const char* otherwise) const {
    const Json& value = config_[key];
    return value.is_object() ? text_of(value["content"]) : value.is_string() ? value.string() : otherwise;
  }

  /// Tokens that were added to an older folder: tokenizer_config.json's added_tokens_decoder, added_tokens.json.
  void read_later_tokens() {
    if (fs::exists(folder_ / "tokenizer.json")) return;  // has them
    const Json &decoder = config_["added_tokens_decoder"], list = read_json(folder_ / "added_tokens.json");
    const auto most = static_cast<std::int64_t>(result_.tokens.size()) * 2 + 1024;
    const auto add = [&](AddedToken token, std::int64_t id) {
      if (token.text.empty() || result_.hidden > 0) return;
      if (id < 0 || id > most) refuse("added tokens", "ids without large gaps", std::to_string(id));
      const TokenKind kind = token.special ? TokenKind::control : TokenKind::user_defined;
      if (static_cast<std::size_t>(id) >= result_.tokens.size() || result_.tokens[static_cast<std::size_t>(id)].empty()) put(token.text, id, kind, "added tokens");
      if (result_.tokens[static_cast<std::size_t>(id)] != token.text) return;  // numbered by other rules: the family's count
      token.id = static_cast<TokenId>(id);
      const auto same = [&](const AddedToken& known) { return known.id == token.id; };
      std::erase_if(result_.added, same);
      if (result_.kinds[static_cast<std::size_t>(id)] != TokenKind::unknown) result_.kinds[static_cast<std::size_t>(id)] = kind;
      result_.added.push_back(std::move(token));
    };
    if (decoder.is_object()) {
      for (const auto& [key, token] : decoder.members()) {
        const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
        if (!number) refuse("added_tokens_decoder", "ids", quoted(key));
        add({.text = text_of(token["content"]), .special = is_true(token["special"]), .normalized = is_true(token["normalized"]),
             .single_word = is_true(token["single_word"]), .takes_left = is_true(token["lstrip"]), .takes_right = is_true(token["rstrip"])},
            std::stoll(key));
      }
    } else if (list.is_object()) {
      for (const auto& [token, id] : list.members()) add({.text = token, .special = false}, id.is_integer() ? id.integer() : -1);
    }
  }

  void read_config() {
    read_later_tokens();
    const bool wordpiece = result_.model == "wordpiece";
    SpecialTokens& special = result_.special;
    const auto name = [&](std::optional<TokenId>& slot, const char* key, const char* otherwise) {
      if (const auto found = find(named_text(key, slot ? "" : otherwise))) slot = found;
    };
    name(special.bos, "bos_token", wordpiece ? "" : "<|endoftext|>");
    name(special.eos, "eos_token", wordpiece ? "" : "<|endoftext|>");
    name(special.unk, "unk_token", wordpiece ? "[UNK]" : "<unk>");
    name(special.pad, "pad_token", find("[PAD]") ? "[PAD]" : "<pad>");
    name(special.cls, "cls_token", "[CLS]");
    name(special.sep, "sep_token", "[SEP]");
    name(special.mask, "mask_token", find("[MASK]") ? "[MASK]" : "<mask>");
    for (const char* turn : {"<end_of_turn>", "<|eot_id|>", "<|im_end|>"}) {
      if (const auto found = find(turn)) special.end_of_turn = found;
    }
    note_added_specials(result_);
    const bool adds_bos = is_true(config_["add_bos_token"]) && special.bos && !special.adds_bos;
    const bool adds_eos = is_true(config_["add_eos_token"]) && special.eos && !special.adds_eos;
    for (std::vector<TemplatePart>* parts : {&result_.single, &result_.pair}) {
      if (adds_bos) parts->insert(parts->begin(), {.token = *special.bos});
      if (adds_eos) parts->push_back({.token = *special.eos});
    }
    note_added_specials(result_);
    const Json& chat = config_["chat_template"];
    result_.chat_template = text_of(chat.is_array() && !chat.items().empty() ? chat.items()[0]["template"] : chat);
    if (const auto jinja = read_text(folder_ / "chat_template.jinja"); jinja && result_.chat_template.empty()) result_.chat_template = *jinja;
  }

  fs::path folder_;
  Json config_;
  std::string family_;
  Vocabulary result_;
};

}  // namespace

Vocabulary read_folder_vocabulary(const fs::path& folder) { return FolderVocabulary(folder).read(); }

}  // namespace vitrine
