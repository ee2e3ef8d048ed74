#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>
#include <unicode/utf16.h>

#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/vocabulary.h"

// BERT's two steps (Devlin et al. 2019, the published tokenization.py): clean, separate CJK characters, lower-case and strip
// accents, cut at white space and punctuation; then the longest token that begins each rest of a word.

namespace vitrine {
namespace {

constexpr std::size_t longest_word = 100;  // characters; longer ones are unknown, as published

/// A character after cleaning, with the bytes of the text that it came from.
struct Character {
  std::string utf8;
  std::size_t begin, end;
};

struct Word {
  std::vector<Character> characters;
};

bool is_cjk(UChar32 c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool is_space(UChar32 c) { return c == '\t' || c == '\n' || c == '\r' || u_isUWhiteSpace(c); }

bool is_dropped(UChar32 c) {
  if (c == 0 || c == 0xfffd) return true;
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return (U_GET_GC_MASK(c) & U_GC_C_MASK) != 0;
}

bool is_punctuation(UChar32 c) {
  const bool ascii = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return ascii || u_ispunct(c);
}

std::string to_utf8(UChar32 c) {
  char bytes[4];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, c);
  return std::string(bytes, static_cast<std::size_t>(length));
}

class WordPieceTokenizer : public VocabularyTokenizer {
 public:
  explicit WordPieceTokenizer(Vocabulary vocabulary) : VocabularyTokenizer(std::move(vocabulary)) {
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) ids_.emplace(vocabulary_.tokens[i], static_cast<TokenId>(i));
    if (!vocabulary_.special.unk) throw Error({vocabulary_.where + ": tokenizer", "an unknown token ([UNK])", "none", ""});
    UErrorCode status = U_ZERO_ERROR;
    decomposition_ = unorm2_getNFDInstance(&status);
    VITRINE_CHECK(U_SUCCESS(status));
  }

  std::string_view model() const override { return "wordpiece"; }
  /// As the vocabulary spells it: "##" says that it continues a word.
  std::string piece(TokenId id) const override { return known(id) ? spelled(id) : ""; }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) {
      const std::string token = piece(id);
      const bool continues = token.starts_with("##");
      if (!text.empty() && !continues) text += ' ';
      text += continues ? token.substr(2) : token;
    }
    return text;
  }

 private:
  void encode_plain(std::string_view text, const WholeTokens::Piece& piece, bool, std::vector<Token>& tokens) const override {
    for (const Word& word : words_of(text, piece)) encode_word(word, tokens);
  }

  std::vector<Word> words_of(std::string_view text, const WholeTokens::Piece& piece) const {
    std::vector<Word> words(1);
    const auto next_word = [&] {
      if (!words.back().characters.empty()) words.emplace_back();
    };
    auto at = static_cast<int32_t>(piece.begin);
    const auto end = static_cast<int32_t>(piece.end);
    while (at < end) {
      const int32_t begin = at;
      UChar32 c = 0;
      U8_NEXT(text.data(), at, end, c);
      if (c < 0) c = 0xfffd;  // bytes that are no UTF-8 are dropped, as the published code drops their replacement
      if (is_dropped(c)) continue;
      if (is_space(c)) {
        next_word();
        continue;
      }
      for (const UChar32 part : normalized(c)) {
        const bool alone = is_punctuation(part) || (vocabulary_.split_cjk && is_cjk(part));
        if (alone) next_word();
        words.back().characters.push_back({to_utf8(part), static_cast<std::size_t>(begin), static_cast<std::size_t>(at)});
        if (alone) next_word();
      }
    }
    if (words.back().characters.empty()) words.pop_back();
    return words;
  }

  /// Canonical decomposition without its accents, then lower case; each as the vocabulary wants it.
  std::vector<UChar32> normalized(UChar32 c) const {
    std::vector<UChar32> parts{c};
    if (vocabulary_.strip_accents) {
      UChar buffer[32];
      UErrorCode status = U_ZERO_ERROR;
      const int32_t length = unorm2_getDecomposition(decomposition_, c, buffer, 32, &status);
      if (U_SUCCESS(status) && length >= 0) parts = code_points(buffer, length);
      std::erase_if(parts, [](UChar32 part) { return u_charType(part) == U_NON_SPACING_MARK; });
    }
    if (!vocabulary_.lower_case) return parts;
    std::vector<UChar32> lower;
    for (const UChar32 part : parts) {
      UChar source[2], target[8];
      int32_t length = 0;
      UBool failed = false;
      U16_APPEND(source, length, 2, part, failed);
      UErrorCode status = U_ZERO_ERROR;
      const int32_t made = u_strToLower(target, 8, source, length, "", &status);
      const auto points = code_points(target, U_SUCCESS(status) && !failed ? made : 0);
      lower.insert(lower.end(), points.begin(), points.end());
    }
    return lower;
  }

  static std::vector<UChar32> code_points(const UChar* text, int32_t length) {
    std::vector<UChar32> points;
    for (int32_t at = 0; at < length;) {
      UChar32 c = 0;
      U16_NEXT(text, at, length, c);
      points.push_back(c);
    }
    return points;
  }

  /// Greedy longest match from the left; a word that cannot be covered is unknown as a whole.
  void encode_word(const Word& word, std::vector<Token>& tokens) const {
    const std::vector<Character>& letters = word.characters;
    const std::size_t before = tokens.size();
    std::size_t begin = letters.size() > longest_word ? letters.size() + 1 : 0;
    while (begin < letters.size()) {
      std::size_t end = letters.size();
      TokenId id = -1;
      for (; end > begin && (id = id_of(letters, begin, end)) < 0; --end) {
      }
      if (id < 0) break;
      tokens.push_back({id, letters[begin].begin, letters[end - 1].end});
      begin = end;
    }
    if (begin == letters.size()) return;
    tokens.resize(before);
    tokens.push_back({*vocabulary_.special.unk, letters.front().begin, letters.back().end});
  }

  TokenId id_of(const std::vector<Character>& letters, std::size_t begin, std::size_t end) const {
    std::string text = begin > 0 ? "##" : "";
    for (std::size_t i = begin; i < end; ++i) text += letters[i].utf8;
    const auto found = ids_.find(text);
    return found == ids_.end() ? -1 : found->second;
  }

  std::unordered_map<std::string, TokenId> ids_;
  const UNormalizer2* decomposition_ = nullptr;
};

}  // namespace

const TokenizerModel& tokenizer_model_wordpiece() {
  static const TokenizerModel model{
      "wordpiece", "BERT's WordPiece, with or without case and accents",
      [](Vocabulary vocabulary) -> std::unique_ptr<Tokenizer> { return std::make_unique<WordPieceTokenizer>(std::move(vocabulary)); }};
  return model;
}

}  // namespace vitrine
