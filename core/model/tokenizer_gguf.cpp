#include "core/model/tokenizer_gguf.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "core/text/stages.h"
#include "core/text/vocabulary_json.h"

namespace vitrine {
namespace {

constexpr std::string_view mark = "\u2581";
constexpr float score_without_merge = -1e9f;  // below every merge's

/// Of equal names those that every llama.cpp of the last years knows.
constexpr std::array<std::string_view, 12> usual_names{"gpt-2", "llama-bpe", "qwen2", "smollm", "falcon", "bloom", "mpt", "starcoder", "gpt-4o", "tekken", "deepseek-llm", "command-r"};

/// A stage in one spelling: every setting in the order of its name, but for offsets, which count for nothing here.
Json plain(const Json& stage) {
  Json::Object sorted = completed_stage(stage).members();
  std::erase_if(sorted, [](const auto& member) { return member.first == "trim_offsets"; });
  std::ranges::sort(sorted, {}, [](const auto& member) { return member.first; });
  return sorted;
}

std::string plain_text(const Json& stages) {
  std::string text;
  for (const Json& stage : single_stages(stages)) text += plain(stage).dump() + "\n";
  return text;
}

/// The name of the stages, with the normalizer that comes with it; empty where there is none.
std::string name_of_stages(const Vocabulary& vocabulary) {
  const std::string stages = plain_text(vocabulary.pre_tokenizer), normalizer = plain_text(vocabulary.normalizer);
  const Json& ignores = vocabulary.options["ignore_merges"];
  std::string best;
  int best_rank = 0;
  for (const std::string& name : pre_tokenizer_names()) {
    const NamedPreTokenizer named = pre_tokenizer_named(name, vocabulary.where);
    if (plain_text(named.pre_tokenizer) != stages || plain_text(named.normalizer) != normalizer) continue;
    const bool merges_alike = named.ignore_merges == (ignores.is_bool() && ignores.boolean());
    const int rank = 1 + (std::ranges::find(usual_names, name) != usual_names.end() ? 1 : 0) + (merges_alike ? 4 : 0);
    if (rank > best_rank) {
      best = name;
      best_rank = rank;
    }
  }
  return best;
}

class Writer {
 public:
  Writer(const Vocabulary& vocabulary, std::size_t rows, GgufMetadata& metadata) : vocabulary_(vocabulary), rows_(rows), metadata_(metadata) {}

  std::vector<std::string> write() {
    tokens_.assign(vocabulary_.tokens.begin(), vocabulary_.tokens.begin() + static_cast<std::ptrdiff_t>(std::min(rows_, vocabulary_.tokens.size())));
    for (std::size_t i = 0; i < tokens_.size(); ++i) kinds_.push_back(static_cast<std::int32_t>(vocabulary_.kinds[i]));
    while (tokens_.size() < rows_) {
      tokens_.push_back("[PAD" + std::to_string(tokens_.size()) + "]");
      kinds_.push_back(static_cast<std::int32_t>(TokenKind::unused));
    }
    name_empty_tokens();
    if (vocabulary_.model == "bpe") write_bpe();
    else if (vocabulary_.model == "spm") write_pieces("llama");
    else if (vocabulary_.model == "unigram") write_pieces("t5");
    else if (vocabulary_.model == "wordpiece") write_wordpiece();
    else refuse("a model that GGUF has: byte-pair encoding, unigram or WordPiece", vocabulary_.model);
    set("tokens", tokens_);
    set("token_type", kinds_);
    write_special();
    if (!vocabulary_.chat_template.empty()) metadata_.set("tokenizer.chat_template", vocabulary_.chat_template);
    return std::move(notes_);
  }

 private:
  [[noreturn]] void refuse(const std::string& expected, const std::string& found) const {
    throw Error({vocabulary_.where + ": tokenizer", expected, found, "--no-tokenizer writes the model alone"});
  }

  void set(const std::string& key, const GgufValue& value) { metadata_.set("tokenizer.ggml." + key, value); }

  /// A gap between ids has no text, and llama.cpp wants one a token.
  void name_empty_tokens() {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (!tokens_[i].empty()) continue;
      tokens_[i] = "[PAD" + std::to_string(i) + "]";
      kinds_[i] = static_cast<std::int32_t>(TokenKind::unused);
    }
  }

  void write_bpe() {
    if (vocabulary_.alphabet != Alphabet::bytes) return write_character_bpe();
    const std::string name = name_of_stages(vocabulary_);
    if (name.empty()) refuse("stages that GGUF has a name for", vocabulary_.pre_tokenizer.dump());
    set("model", std::string("gpt2"));
    set("pre", name);
    std::vector<std::string> merges;
    for (const auto& [left, right] : vocabulary_.merges) merges.push_back(left + " " + right);
    set("merges", merges);
  }

  /// Merges over characters with "\u2581" for spaces are SentencePiece's, whose scores are the order in which they were learnt.
  void write_character_bpe() {
    const std::string normalizer = vocabulary_.normalizer.dump() + vocabulary_.pre_tokenizer.dump();
    if (normalizer.find(mark) == std::string::npos) refuse("bytes, or characters with marks for spaces", "other byte-pair encoding");
    std::map<std::string, float> scores;
    float next = 0.0f;
    for (const auto& [left, right] : vocabulary_.merges) scores.emplace(left + right, next -= 1.0f);
    std::vector<float> list;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const auto found = scores.find(tokens_[i]);
      list.push_back(found == scores.end() ? score_without_merge : found->second);
    }
    mark_unknown();
    set("model", std::string("llama"));
    set("pre", std::string("default"));
    set("scores", list);
    set("add_space_prefix", adds_space());
  }

  /// Whether a space is put before a text: by one of the stages that do.
  bool adds_space() const {
    for (const Json& stages : {vocabulary_.normalizer, vocabulary_.pre_tokenizer}) {
      for (const Json& stage : single_stages(stages)) {
        const std::string type = stage["type"].is_string() ? stage["type"].string() : "";
        if (type == "Prepend") return true;
        if (type == "Metaspace") return !stage["prepend_scheme"].is_string() || stage["prepend_scheme"].string() != "never";
        if (type == "SentencePiece") return stage["add_dummy_prefix"].is_bool() && stage["add_dummy_prefix"].boolean();
      }
    }
    return false;
  }

  void mark_unknown() {
    if (const auto unknown = unknown_id()) kinds_[static_cast<std::size_t>(*unknown)] = static_cast<std::int32_t>(TokenKind::unknown);
  }

  std::optional<TokenId> unknown_id() const {
    if (vocabulary_.special.unk) return vocabulary_.special.unk;
    const Json& id = vocabulary_.options["unk_id"];
    if (id.is_integer() && id.integer() >= 0 && static_cast<std::size_t>(id.integer()) < tokens_.size()) return static_cast<TokenId>(id.integer());
    return std::nullopt;
  }

  void write_pieces(const char* model) {
    std::vector<float> scores;
    for (std::size_t i = 0; i < tokens_.size(); ++i) scores.push_back(i < vocabulary_.scores.size() ? static_cast<float>(vocabulary_.scores[i]) : 0.0f);
    mark_unknown();
    set("model", std::string(model));
    set("pre", std::string("default"));
    set("scores", scores);
    set("add_space_prefix", adds_space());
    bool joins = false;
    for (const Json& stage : single_stages(vocabulary_.normalizer)) {
      if (stage["remove_extra_whitespaces"].is_bool()) joins = stage["remove_extra_whitespaces"].boolean();
      std::string map = stage["charsmap"].is_string() ? stage["charsmap"].string() : "";
      if (stage["precompiled_charsmap"].is_string()) map = bytes_of_base64(stage["precompiled_charsmap"].string(), vocabulary_.where);
      if (!map.empty()) set("precompiled_charsmap", std::vector<std::int8_t>(map.begin(), map.end()));
    }
    set("remove_extra_whitespaces", joins);
  }

  /// The published vocabulary marks what continues a word ("##ing"), GGUF what begins one.
  void write_wordpiece() {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      std::string& token = tokens_[i];
      if (kinds_[i] != static_cast<std::int32_t>(TokenKind::normal) || (token.starts_with("[") && token.ends_with("]"))) continue;
      token = token.starts_with("##") ? token.substr(2) : std::string(mark) + token;
    }
    set("model", std::string("bert"));
    set("pre", std::string("jina-v2-en"));
    for (const Json& stage : single_stages(vocabulary_.normalizer)) {
      for (const char* key : {"lowercase", "strip_accents"}) {
        if (stage[key].is_bool()) set(std::string("normalizer.") + key, stage[key].boolean());
      }
    }
  }

  void write_special() {
    const SpecialTokens& special = vocabulary_.special;
    const auto id = [&](const char* key, const std::optional<TokenId>& token) {
      if (token && static_cast<std::size_t>(*token) < rows_) set(key, static_cast<std::uint32_t>(*token));
    };
    const bool wordpiece = vocabulary_.model == "wordpiece";
    id("bos_token_id", wordpiece ? special.cls : special.bos);
    id("eos_token_id", wordpiece ? special.sep : special.eos);
    id("unknown_token_id", unknown_id());
    id("seperator_token_id", special.sep);  // spelled so in the format
    id("padding_token_id", special.pad);
    id("cls_token_id", special.cls);
    id("mask_token_id", special.mask);
    if (special.end_of_turn && special.end_of_turn != special.eos) id("eot_token_id", special.end_of_turn);
    if (wordpiece) return;
    set("add_bos_token", special.adds_bos);
    set("add_eos_token", special.adds_eos);
    std::size_t said = 1 + (special.adds_bos ? 1 : 0) + (special.adds_eos ? 1 : 0);
    if (vocabulary_.single.size() != said) notes_.push_back("GGUF has no word for all tokens that the tokenizer adds to a text");
  }

  const Vocabulary& vocabulary_;
  std::size_t rows_;
  GgufMetadata& metadata_;
  std::vector<std::string> tokens_;
  std::vector<std::int32_t> kinds_;
  std::vector<std::string> notes_;
};

}  // namespace

std::vector<std::string> set_gguf_tokenizer(const Vocabulary& vocabulary, std::size_t rows, GgufMetadata& metadata) {
  if (!vocabulary.model.empty()) return Writer(vocabulary, rows, metadata).write();
  metadata.set("tokenizer.ggml.model", std::string("none"));
  return {};
}

}  // namespace vitrine
