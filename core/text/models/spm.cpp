#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/characters.h"
#include "core/text/merge.h"
#include "core/text/token_model.h"
#include "core/text/trie.h"
#include "core/text/vocabulary.h"

// SentencePiece's byte-pair encoding (Kudo & Richardson 2018, bpe_model.cc) as Llama uses it: the pair whose union has the highest
// score merges first, a user-defined symbol stays whole, and a character without a token becomes its bytes.

namespace vitrine {
namespace {

constexpr std::size_t longest_piece = 1024;  // its halves are looked up one by one

class SpmModel : public TokenModel {
 public:
  explicit SpmModel(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    if (vocabulary.scores.size() != vocabulary.tokens.size()) {
      throw Error({vocabulary.where + ": scores", "one a token", std::to_string(vocabulary.scores.size()), ""});
    }
    load_symbols();
    load_pairs();
    load_fallback();
    is_cut_ = marks_only_begin_tokens(vocabulary);
  }

  bool is_cut_by_marks() const override { return is_cut_; }

  void encode(std::string_view piece, std::vector<ModelToken>& tokens) const override {
    thread_local std::vector<MergePart> parts;
    parts.clear();
    take_symbols(piece, parts);
    Parents parents;  // of unused tokens, which fall apart again
    const auto rule = [&](const MergePart& a, const MergePart& b) {
      if (a.id < 0 || b.id < 0) return MergeRule{};
      const MergeRule found = pairs_.find(a.id, b.id);
      if (found.result >= 0 && has_unused_ && is_unused(found.result)) parents[found.result] = {a.id, b.id};
      return found;
    };
    Merger(rule).merge(parts);
    bool unknown_before = false;
    for (const MergePart& part : parts) {
      if (part.id >= 0 && has_unused_ && is_unused(part.id)) {
        fall_apart(piece, part, parents, tokens);
        unknown_before = false;
      } else {
        add(piece, part, unknown_before, tokens);
      }
    }
  }

 private:
  using Parents = std::unordered_map<TokenId, std::pair<TokenId, TokenId>>;

  bool is_token(TokenId id) const { return id >= 0 && static_cast<std::size_t>(id) < vocabulary_.tokens.size(); }
  bool is_unused(TokenId id) const { return is_token(id) && vocabulary_.kinds[static_cast<std::size_t>(id)] == TokenKind::unused; }

  void load_symbols() {
    std::vector<std::pair<std::string_view, std::int32_t>> user_defined;
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const TokenKind kind = vocabulary_.kinds[i];
      const std::string_view token = vocabulary_.tokens[i];
      if (token.size() > longest_piece) {
        throw Error({vocabulary_.where + ": piece " + std::to_string(i), "at most " + std::to_string(longest_piece) + " bytes", std::to_string(token.size()), ""});
      }
      if (token.empty() || (kind != TokenKind::normal && kind != TokenKind::user_defined && kind != TokenKind::unused)) continue;
      symbols_.emplace(token, static_cast<TokenId>(i));
      if (kind == TokenKind::user_defined) user_defined.emplace_back(token, static_cast<std::int32_t>(i));
      has_unused_ = has_unused_ || kind == TokenKind::unused;
    }
    has_user_defined_ = !user_defined.empty();
    user_defined_ = Trie(std::move(user_defined));
    // A character of a token may be none itself; its number lies behind those of the tokens.
    auto next = static_cast<TokenId>(vocabulary_.tokens.size());
    std::vector<std::string_view> characters;
    for (const auto& [token, id] : symbols_) {
      for (std::size_t at = 0; at < token.size(); at += character_size(token, at)) characters.push_back(token.substr(at, character_size(token, at)));
    }
    std::sort(characters.begin(), characters.end());
    for (const std::string_view character : characters) {
      if (symbols_.emplace(character, next).second) ++next;
    }
  }

  /// Every way in which a token is the union of two symbols.
  void load_pairs() {
    std::vector<std::pair<std::pair<TokenId, TokenId>, MergeRule>> pairs;
    for (const auto& [token, id] : symbols_) {
      if (!is_token(id)) continue;
      for (std::size_t at = character_size(token, 0); at < token.size(); at += character_size(token, at)) {
        const auto left = symbols_.find(token.substr(0, at)), right = symbols_.find(token.substr(at));
        if (left == symbols_.end() || right == symbols_.end()) continue;
        pairs.push_back({{left->second, right->second}, {-vocabulary_.scores[static_cast<std::size_t>(id)], id}});
      }
    }
    pairs_ = PairTable(pairs.size());
    for (const auto& [pair, rule] : pairs) pairs_.set(pair.first, pair.second, rule);
  }

  void load_fallback() {
    fallback_.assign(256, -1);
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      if (vocabulary_.kinds[i] != TokenKind::byte) continue;
      const auto byte = byte_token(vocabulary_.tokens[i]);
      if (!byte) throw Error({vocabulary_.where + ": tokenizer", "byte tokens written <0x00>", quoted(vocabulary_.tokens[i]), ""});
      fallback_[*byte] = static_cast<TokenId>(i);
    }
  }

  void take_symbols(std::string_view piece, std::vector<MergePart>& parts) const {
    for (std::size_t at = 0; at < piece.size();) {
      if (has_user_defined_) {
        if (const Trie::Match match = user_defined_.longest(piece.substr(at)); match.bytes > 0) {
          parts.push_back({frozen_id(match.value), static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at + match.bytes)});
          at += match.bytes;
          continue;
        }
      }
      const std::size_t size = character_size(piece, at);
      const auto found = symbols_.find(piece.substr(at, size));
      parts.push_back({found == symbols_.end() ? -1 : found->second, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at + size)});
      at += size;
    }
  }

  /// A number below -1 that no pair has, and back.
  static TokenId frozen_id(TokenId id) { return -2 - id; }

  void add(std::string_view piece, const MergePart& part, bool& unknown_before, std::vector<ModelToken>& tokens) const {
    const TokenId id = part.id < -1 ? frozen_id(part.id) : part.id;
    if (is_token(id)) {
      tokens.push_back({id, part.begin, part.end});
      unknown_before = false;
      return;
    }
    bool all = true;
    for (std::uint32_t at = part.begin; at < part.end; ++at) all = all && fallback_[static_cast<unsigned char>(piece[at])] >= 0;
    if (all) {
      for (std::uint32_t at = part.begin; at < part.end; ++at) tokens.push_back({fallback_[static_cast<unsigned char>(piece[at])], at, at + 1});
      return;
    }
    if (!vocabulary_.special.unk) {
      throw Error({vocabulary_.where + ": tokenizer", "an unknown token or one for every byte",
                   "none for " + quoted(piece.substr(part.begin, part.end - part.begin)), ""});
    }
    if (unknown_before) {
      tokens.back().end = part.end;
    } else {
      tokens.push_back({*vocabulary_.special.unk, part.begin, part.end});
    }
    unknown_before = true;
  }

  void fall_apart(std::string_view piece, const MergePart& part, const Parents& parents, std::vector<ModelToken>& tokens) const {
    const auto found = is_unused(part.id) ? parents.find(part.id) : parents.end();
    bool unknown_before = false;
    if (found == parents.end()) return add(piece, part, unknown_before, tokens);
    const auto [left, right] = found->second;
    // A symbol that is no token is one character.
    const std::size_t left_bytes = is_token(left) ? vocabulary_.tokens[static_cast<std::size_t>(left)].size() : character_size(piece, part.begin);
    const std::uint32_t border = part.begin + static_cast<std::uint32_t>(left_bytes);
    fall_apart(piece, {left, part.begin, border}, parents, tokens);
    fall_apart(piece, {right, border, part.end}, parents, tokens);
  }

  const Vocabulary& vocabulary_;
  std::unordered_map<std::string_view, TokenId> symbols_;
  Trie user_defined_;
  bool has_user_defined_ = false, has_unused_ = false, is_cut_ = false;
  PairTable pairs_;
  std::vector<TokenId> fallback_;
};

}  // namespace

const TokenizerModel& tokenizer_model_spm() {
  static const TokenizerModel model{"spm", "SentencePiece byte-pair encoding by scores, with byte fallback (Llama 1 and 2, Mistral)",
                                    [](const Vocabulary& vocabulary) -> std::unique_ptr<TokenModel> { return std::make_unique<SpmModel>(vocabulary); }};
  return model;
}

}  // namespace vitrine
