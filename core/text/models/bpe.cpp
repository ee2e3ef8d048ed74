#include <array>
#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/byte_alphabet.h"
#include "core/text/characters.h"
#include "core/text/merge.h"
#include "core/text/stages.h"
#include "core/text/token_model.h"
#include "core/text/vocabulary.h"

// Byte-pair encoding (Sennrich et al. 2016): the pairs of a piece merge in the order in which they were learnt. Over bytes as GPT-2
// introduced it (Radford et al. 2019), or over characters. As in Hugging Face's `tokenizers`, a character without a token
// becomes its bytes or the unknown token where the model says so, and nothing where it says neither.

namespace vitrine {
namespace {

class BpeModel : public TokenModel {
 public:
  explicit BpeModel(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    const StageSource options(vocabulary.options, vocabulary.where + ": model");
    prefix_ = options.text("continuing_subword_prefix", "");
    suffix_ = options.text("end_of_word_suffix", "");
    ignores_merges_ = options.flag("ignore_merges", false);
    fuses_unknown_ = options.flag("fuse_unk", false);
    const Json& dropout = vocabulary.options["dropout"];
    if (dropout.is_number() && dropout.number() != 0.0) options.refuse("dropout", "none: texts are encoded the same way every time", dropout.dump());
    load_tokens(options);
    load_merges();
    is_cut_ = vocabulary.alphabet == Alphabet::characters && !ignores_merges_ && prefix_.empty() && suffix_.empty() && marks_only_begin_tokens(vocabulary);
  }

  bool is_cut_by_marks() const override { return is_cut_; }

  void encode(std::string_view piece, std::vector<ModelToken>& tokens) const override {
    if (ignores_merges_) {
      if (const auto found = ids_.find(std::string(piece)); found != ids_.end()) {
        tokens.push_back({found->second, 0, static_cast<std::uint32_t>(piece.size())});
        return;
      }
    }
    thread_local std::vector<MergePart> parts;
    parts.clear();
    vocabulary_.alphabet == Alphabet::bytes && plain_ ? take_bytes(piece, parts) : take_characters(piece, parts);
    const auto rule = [&](const MergePart& a, const MergePart& b) { return merges_.find(a.id, b.id); };
    Merger(rule).merge(parts);
    for (const MergePart& part : parts) tokens.push_back({part.id, part.begin, part.end});
  }

 private:
  void load_tokens(const StageSource& options) {
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const auto id = static_cast<TokenId>(i);
      if (auto bytes = model_bytes(vocabulary_, id); bytes && !bytes->empty()) ids_[std::move(*bytes)] = id;
    }
    byte_ids_.fill(-1);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(std::string(1, static_cast<char>(byte)));
      if (found != ids_.end()) byte_ids_[byte] = found->second;
    }
    if (options.flag("byte_fallback", false)) fallback_ = byte_tokens(vocabulary_);
    if (const std::string name = options.text("unk_token", ""); !name.empty()) {
      const auto ids = ids_of_tokens(vocabulary_);
      if (const auto found = ids.find(name); found != ids.end()) unknown_ = found->second;
    }
    plain_ = prefix_.empty() && suffix_.empty() && fallback_.empty() && unknown_ < 0;
  }

  void load_merges() {
    const auto ids = ids_of_tokens(vocabulary_);
    merges_ = PairTable(vocabulary_.merges.size());
    const auto id_of = [&](const std::string& token, std::size_t rank) {
      const auto found = ids.find(token);
      if (found != ids.end()) return found->second;
      throw Error({vocabulary_.where + ": merge " + std::to_string(rank + 1), "tokens of the vocabulary", quoted(token), ""});
    };
    for (std::size_t rank = 0; rank < vocabulary_.merges.size(); ++rank) {
      const auto& [left, right] = vocabulary_.merges[rank];
      const bool continues = !prefix_.empty() && right.starts_with(prefix_);
      const TokenId both = id_of(left + (continues ? right.substr(prefix_.size()) : right), rank);
      merges_.set(id_of(left, rank), id_of(right, rank), {static_cast<double>(rank), both});
    }
  }

  void take_bytes(std::string_view piece, std::vector<MergePart>& parts) const {
    for (std::uint32_t i = 0; i < piece.size(); ++i) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(piece[i])];
      if (id >= 0) parts.push_back({id, i, i + 1});
    }
  }

  void take_characters(std::string_view piece, std::vector<MergePart>& parts) const {
    const bool bytes = vocabulary_.alphabet == Alphabet::bytes;
    std::string name;
    bool unknown_before = false;
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t begin = at;
      at += bytes ? 1 : character_size(piece, at);
      name.assign(begin > 0 ? prefix_ : "").append(piece, begin, at - begin).append(at == piece.size() ? suffix_ : "");
      const auto found = ids_.find(name);
      if (found != ids_.end()) {
        parts.push_back({found->second, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at)});
        unknown_before = false;
      } else {
        take_unknown(name, {begin, at}, unknown_before, parts);
      }
    }
  }

  void take_unknown(std::string_view name, TextRange range, bool& unknown_before, std::vector<MergePart>& parts) const {
    const auto begin = static_cast<std::uint32_t>(range.begin), end = static_cast<std::uint32_t>(range.end);
    bool all = !fallback_.empty();
    for (const char byte : name) all = all && fallback_[static_cast<unsigned char>(byte)] >= 0;
    if (all) {
      for (std::uint32_t i = 0; i < name.size(); ++i) {
        const std::uint32_t at = std::min(begin + i, end - 1);  // a prefix or suffix has no bytes of the piece
        parts.push_back({fallback_[static_cast<unsigned char>(name[i])], at, at + 1});
      }
    } else if (unknown_ >= 0 && unknown_before && fuses_unknown_) {
      parts.back().end = end;
    } else if (unknown_ >= 0) {
      parts.push_back({unknown_, begin, end});
      unknown_before = true;
    }
  }

  const Vocabulary& vocabulary_;
  std::string prefix_, suffix_;
  bool ignores_merges_ = false, fuses_unknown_ = false, plain_ = false, is_cut_ = false;
  std::unordered_map<std::string, TokenId> ids_;  // by the bytes that the model reads
  std::array<TokenId, 256> byte_ids_{};
  std::vector<TokenId> fallback_;  // byte -> "<0x41>"; empty where there is none
  TokenId unknown_ = -1;
  PairTable merges_;
};

}  // namespace

const TokenizerModel& tokenizer_model_bpe() {
  static const TokenizerModel model{"bpe", "byte-pair encoding by merges, over bytes or characters (GPT, Llama 3, Qwen, Gemma)",
                                    [](const Vocabulary& vocabulary) -> std::unique_ptr<TokenModel> { return std::make_unique<BpeModel>(vocabulary); }};
  return model;
}

}  // namespace vitrine
