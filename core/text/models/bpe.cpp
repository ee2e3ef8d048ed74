#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/tokenizer.h"

// Byte-level byte-pair encoding as GPT-2 introduced it (Radford et al. 2019): the text is cut by a regular expression,
// each byte of a piece becomes one printable character, and the pairs merge in the order in which they were learnt.

namespace vitrine {
namespace {

constexpr const char* gpt2_regex = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/// Pre-tokenisers by the name GGUF gives them: each expression cuts the pieces that the one before left.
const std::map<std::string, std::vector<const char*>>& pre_tokenizers() {
  static const std::map<std::string, std::vector<const char*>> table{
      {"gpt-2", {gpt2_regex}},
      {"smollm", {"\\p{N}", gpt2_regex}},
      {"llama-bpe", {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
      {"qwen2", {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                 "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
  };
  return table;
}

struct Range {
  std::size_t begin, end;
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

/// Cuts a text into the matches of an expression and what lies between them. Bytes that are no UTF-8 match nothing.
class Splitter {
 public:
  explicit Splitter(const char* pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr));
    VITRINE_CHECK(code_ != nullptr);
  }

  void split(std::string_view text, Range range, std::vector<Range>& out) const {
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data()) + range.begin;
    const std::size_t length = range.end - range.begin;
    std::size_t at = 0;
    while (at < length && pcre2_match(code_.get(), subject, length, at, 0, match.get(), nullptr) >= 0) {
      const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match.get());
      if (found[1] <= found[0]) break;
      if (found[0] > at) out.push_back({range.begin + at, range.begin + found[0]});
      out.push_back({range.begin + found[0], range.begin + found[1]});
      at = found[1];
    }
    if (at < length) out.push_back({range.begin + at, range.end});
  }

 private:
  std::unique_ptr<pcre2_code, FreeCode> code_;
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

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(const TokenizerSource& source) : where_(source.where) {
    const Json& gguf = *source.gguf;
    load_tokens(gguf["tokenizer.ggml.tokens"], gguf["tokenizer.ggml.token_type"]);
    load_merges(gguf["tokenizer.ggml.merges"]);
    load_special(gguf);
    const Json& pre = gguf["tokenizer.ggml.pre"];
    const std::string name = pre.is_string() ? pre.string() : "gpt-2";
    const auto found = pre_tokenizers().find(name);
    if (found == pre_tokenizers().end()) refuse("pre", "gpt-2, smollm, llama-bpe or qwen2", quoted(name));
    for (const char* pattern : found->second) splitters_.emplace_back(pattern);
    if (gguf["tokenizer.chat_template"].is_string()) chat_template_ = gguf["tokenizer.chat_template"].string();
  }

  std::string_view model() const override { return "bpe"; }
  std::size_t vocabulary_size() const override { return pieces_.size(); }
  const SpecialTokens& special() const override { return special_; }
  std::string_view chat_template() const override { return chat_template_; }
  bool is_special(TokenId id) const override { return known(id) && is_special_[static_cast<std::size_t>(id)]; }
  std::string piece(TokenId id) const override { return known(id) ? pieces_[static_cast<std::size_t>(id)] : ""; }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text += piece(id);
    return text;
  }

  std::vector<Token> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<Token> tokens;
    if (options.add_special && special_.adds_bos && special_.bos) tokens.push_back({*special_.bos, 0, 0});
    std::size_t plain = 0;
    for (std::size_t at = 0; options.parse_special && at < text.size();) {
      const auto [id, length] = special_at(text, at);
      if (length == 0) {
        ++at;
        continue;
      }
      encode_plain(text, {plain, at}, tokens);
      tokens.push_back({id, at, at + length});
      plain = at += length;
    }
    encode_plain(text, {plain, text.size()}, tokens);
    if (options.add_special && special_.adds_eos && special_.eos) tokens.push_back({*special_.eos, text.size(), text.size()});
    return tokens;
  }

 private:
  struct Merge {
    std::int32_t rank;
    TokenId result;
  };

  [[noreturn]] void refuse(std::string_view key, std::string expected, std::string found) const {
    throw Error({where_ + ": tokenizer.ggml." + std::string(key), std::move(expected), std::move(found), ""});
  }

  bool known(TokenId id) const { return id >= 0 && static_cast<std::size_t>(id) < pieces_.size(); }

  void load_tokens(const Json& tokens, const Json& types) {
    if (!tokens.is_array() || tokens.items().empty()) refuse("tokens", "a list of texts", "none");
    if (!types.is_null() && (!types.is_array() || types.items().size() != tokens.items().size())) {
      refuse("token_type", "one entry a token", "another number");
    }
    for (std::size_t i = 0; i < tokens.items().size(); ++i) {
      const Json& token = tokens.items()[i];
      if (!token.is_string()) refuse("tokens", "texts", quoted(token.dump()));
      const std::int64_t type = types.is_array() && types.items()[i].is_integer() ? types.items()[i].integer() : 1;
      const bool whole = type == 3 || type == 4;  // control and user-defined tokens stand for themselves
      pieces_.push_back(whole ? token.string() : bytes_of(token.string()));
      is_special_.push_back(type == 3);
      const auto id = static_cast<TokenId>(i);
      if (whole && !token.string().empty()) whole_tokens_[token.string().front()].emplace_back(token.string(), id);
      ids_.emplace(token.string(), id);
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(byte_characters()[byte]);
      byte_ids_[byte] = found == ids_.end() ? -1 : found->second;
    }
    for (auto& [lead, list] : whole_tokens_) {
      std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
    }
  }

  void load_merges(const Json& merges) {
    if (!merges.is_array()) refuse("merges", "a list of texts", "none");
    std::int32_t rank = 0;
    for (const Json& merge : merges.items()) {
      const std::string& text = merge.is_string() ? merge.string() : where_;
      const std::size_t space = text.find(' ', 1);
      if (!merge.is_string() || space == std::string::npos) refuse("merges", "two tokens and a space", quoted(merge.dump()));
      const auto a = ids_.find(text.substr(0, space)), b = ids_.find(text.substr(space + 1));
      const auto both = ids_.find(text.substr(0, space) + text.substr(space + 1));
      if (a != ids_.end() && b != ids_.end() && both != ids_.end()) {
        merges_.emplace(pair_key(a->second, b->second), Merge{rank, both->second});
      }
      ++rank;
    }
  }

  std::optional<TokenId> special_id(const Json& gguf, const std::string& name) const {
    const Json& value = gguf["tokenizer.ggml." + name];
    if (value.is_null()) return std::nullopt;
    if (!value.is_integer() || value.integer() < 0 || static_cast<std::size_t>(value.integer()) >= pieces_.size()) {
      refuse(name, "a token id below " + std::to_string(pieces_.size()), quoted(value.dump()));
    }
    return static_cast<TokenId>(value.integer());
  }

  void load_special(const Json& gguf) {
    special_.bos = special_id(gguf, "bos_token_id");
    special_.eos = special_id(gguf, "eos_token_id");
    special_.unk = special_id(gguf, "unknown_token_id");
    special_.pad = special_id(gguf, "padding_token_id");
    const auto turn = ids_.find("<|im_end|>");
    if (turn != ids_.end()) special_.end_of_turn = turn->second;
    const Json& bos = gguf["tokenizer.ggml.add_bos_token"];
    const Json& eos = gguf["tokenizer.ggml.add_eos_token"];
    special_.adds_bos = bos.is_bool() && bos.boolean();
    special_.adds_eos = eos.is_bool() && eos.boolean();
  }

  std::pair<TokenId, std::size_t> special_at(std::string_view text, std::size_t at) const {
    const auto list = whole_tokens_.find(text[at]);
    if (list == whole_tokens_.end()) return {0, 0};
    for (const auto& [token, id] : list->second) {
      if (text.substr(at).starts_with(token)) return {id, token.size()};
    }
    return {0, 0};
  }

  void encode_plain(std::string_view text, Range range, std::vector<Token>& tokens) const {
    if (range.begin == range.end) return;
    std::vector<Range> pieces{range}, next;
    for (const Splitter& splitter : splitters_) {
      next.clear();
      for (const Range& piece : pieces) splitter.split(text, piece, next);
      pieces.swap(next);
    }
    for (const Range& piece : pieces) merge_piece(text, piece, tokens);
  }

  /// Merges the pair of lowest rank, the leftmost of equals, until none is left.
  void merge_piece(std::string_view text, Range piece, std::vector<Token>& tokens) const {
    std::vector<Token> parts;
    for (std::size_t i = piece.begin; i < piece.end; ++i) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(text[i])];
      if (id < 0) throw Error({where_ + ": tokenizer", "a token for every byte", "none for " + quoted(text.substr(i, 1)), ""});
      parts.push_back({id, i, i + 1});
    }
    while (parts.size() > 1) {
      std::size_t best = 0;
      Merge chosen{std::numeric_limits<std::int32_t>::max(), 0};
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto found = merges_.find(pair_key(parts[i].id, parts[i + 1].id));
        if (found != merges_.end() && found->second.rank < chosen.rank) chosen = found->second, best = i;
      }
      if (chosen.rank == std::numeric_limits<std::int32_t>::max()) break;
      parts[best] = {chosen.result, parts[best].begin, parts[best + 1].end};
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    tokens.insert(tokens.end(), parts.begin(), parts.end());
  }

  std::string where_, chat_template_;
  std::vector<std::string> pieces_;
  std::vector<bool> is_special_;
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::map<char, std::vector<std::pair<std::string, TokenId>>> whole_tokens_;
  std::array<TokenId, 256> byte_ids_{};
  std::vector<Splitter> splitters_;
  SpecialTokens special_;
};

}  // namespace

const TokenizerModel& tokenizer_model_bpe() {
  static const TokenizerModel model{
      "bpe", "byte-level byte-pair encoding (GPT-2, SmolLM, Llama 3, Qwen) from GGUF",
      [](const TokenizerSource& source) {
        if (!source.gguf) return false;
        const Json& name = (*source.gguf)["tokenizer.ggml.model"];
        return name.is_string() && name.string() == "gpt2";
      },
      [](const TokenizerSource& source) -> std::unique_ptr<Tokenizer> { return std::make_unique<BpeTokenizer>(source); }};
  return model;
}

}  // namespace vitrine
