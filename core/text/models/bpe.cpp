#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/merge.h"
#include "core/text/vocabulary.h"

// Byte-level byte-pair encoding as GPT-2 introduced it (Radford et al. 2019): the text is cut by a regular expression,
// each byte of a piece becomes one printable character, and the pairs merge in the order in which they were learnt.

namespace vitrine {
namespace {

struct Range {
  std::size_t begin, end;
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

/// Cuts a text into the matches of an expression and what lies between them. Bytes that are no UTF-8 match nothing.
class Splitter {
 public:
  /// @throws Error where the expression, which may be a stranger's, is none
  Splitter(const std::string& pattern, const std::string& where) : where_(where) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr));
    if (!code_) throw Error({where + ": pre-tokenizer", "a regular expression", quoted(pattern), ""});
    limits_.reset(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(limits_.get(), 10'000'000);  // an expression that backtracks for ever ends here
  }

  void split(std::string_view text, Range range, std::vector<Range>& out) const {
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data()) + range.begin;
    const std::size_t length = range.end - range.begin;
    std::size_t at = 0;
    while (at < length) {
      const int status = pcre2_match(code_.get(), subject, length, at, 0, match.get(), limits_.get());
      if (status == PCRE2_ERROR_NOMATCH) break;
      if (status < 0) throw Error({where_ + ": pre-tokenizer", "an expression that ends", "PCRE2 error " + std::to_string(status), ""});
      const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match.get());
      if (found[1] <= found[0]) break;
      if (found[0] > at) out.push_back({range.begin + at, range.begin + found[0]});
      out.push_back({range.begin + found[0], range.begin + found[1]});
      at = found[1];
    }
    if (at < length) out.push_back({range.begin + at, range.end});
  }

 private:
  std::string where_;
  std::unique_ptr<pcre2_code, FreeCode> code_;
  std::unique_ptr<pcre2_match_context, FreeContext> limits_;
};

std::string utf8(unsigned code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3f))};
}

/// GPT-2's printable character for each byte: itself where it prints, else the next free one from U+0100 on.
const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> made;
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      made[byte] = utf8(prints ? byte : next++);
    }
    return made;
  }();
  return table;
}

/// The bytes that a token's characters stand for; characters that stand for none are kept as they are.
std::string bytes_of(std::string_view token) {
  static const std::unordered_map<std::string, char> back = [] {
    std::unordered_map<std::string, char> made;
    for (unsigned byte = 0; byte < 256; ++byte) made.emplace(byte_characters()[byte], static_cast<char>(byte));
    return made;
  }();
  std::string bytes;
  for (std::size_t i = 0; i < token.size();) {
    const auto lead = static_cast<unsigned char>(token[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const std::string character(token.substr(i, length));
    const auto found = back.find(character);
    bytes += found == back.end() ? character : std::string(1, found->second);
    i += length;
  }
  return bytes;
}

std::uint64_t pair_key(TokenId a, TokenId b) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32 | static_cast<std::uint32_t>(b);
}

class BpeTokenizer : public VocabularyTokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {
    for (const std::string& pattern : vocabulary_.splits) splitters_.emplace_back(pattern, vocabulary_.where);
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const std::string& token = vocabulary_.tokens[i];
      const bool whole = vocabulary_.kinds[i] == TokenKind::control || vocabulary_.kinds[i] == TokenKind::user_defined;
      pieces_.push_back(whole ? token : bytes_of(token));
      ids_.emplace(token, static_cast<TokenId>(i));
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(byte_characters()[byte]);
      byte_ids_[byte] = found == ids_.end() ? -1 : found->second;
    }
    load_merges();
  }

  std::string_view model() const override { return "bpe"; }
  std::string piece(TokenId id) const override { return known(id) ? pieces_[static_cast<std::size_t>(id)] : ""; }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text += piece(id);
    return text;
  }

 private:
  void load_merges() {
    double rank = 0.0;
    for (const auto& [left, right] : vocabulary_.merges) {
      const auto a = ids_.find(left), b = ids_.find(right), both = ids_.find(left + right);
      if (a != ids_.end() && b != ids_.end() && both != ids_.end()) {
        merges_.emplace(pair_key(a->second, b->second), MergeRule{-rank, both->second});
      }
      rank += 1.0;
    }
    vocabulary_.merges.clear();
  }

  void encode_plain(std::string_view text, const WholeTokens::Piece& piece, bool, std::vector<Token>& tokens) const override {
    std::vector<Range> pieces{{piece.begin, piece.end}}, next;
    for (const Splitter& splitter : splitters_) {
      next.clear();
      for (const Range& part : pieces) splitter.split(text, part, next);
      pieces.swap(next);
    }
    for (const Range& part : pieces) merge_piece(text, part, tokens);
  }

  void merge_piece(std::string_view text, Range piece, std::vector<Token>& tokens) const {
    std::vector<MergePart> parts;
    std::string characters;
    for (std::size_t i = piece.begin; i < piece.end; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte_ids_[byte] < 0) {
        throw Error({vocabulary_.where + ": tokenizer", "a token for every byte", "none for " + quoted(text.substr(i, 1)), ""});
      }
      parts.push_back({byte_ids_[byte], i, i + 1});
      if (vocabulary_.ignore_merges) characters += byte_characters()[byte];
    }
    if (vocabulary_.ignore_merges) {
      if (const auto found = ids_.find(characters); found != ids_.end()) {
        tokens.push_back({found->second, piece.begin, piece.end});
        return;
      }
    }
    chain(parts);
    merge_parts(parts, [&](const MergePart& a, const MergePart& b) -> std::optional<MergeRule> {
      const auto found = merges_.find(pair_key(a.id, b.id));
      return found == merges_.end() ? std::nullopt : std::optional(found->second);
    });
    for (const MergePart& part : parts) {
      if (part.end > part.begin) tokens.push_back({part.id, part.begin, part.end});
    }
  }

  std::vector<std::string> pieces_;
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_map<std::uint64_t, MergeRule> merges_;
  std::array<TokenId, 256> byte_ids_{};
  std::vector<Splitter> splitters_;
};

}  // namespace

const TokenizerModel& tokenizer_model_bpe() {
  static const TokenizerModel model{
      "bpe", "byte-level byte-pair encoding (GPT-2, SmolLM, Llama 3, Qwen)",
      [](Vocabulary vocabulary) -> std::unique_ptr<Tokenizer> { return std::make_unique<BpeTokenizer>(std::move(vocabulary)); }};
  return model;
}

}  // namespace vitrine
