#include "core/text/characters.h"

#include <array>

#include "core/base/error.h"
#include "core/text/cutting.h"

// Pre-tokenizers that look at one character at a time.

namespace vitrine {
namespace {

class WhitespaceSplit : public PreTokenizer {
 public:
  void apply(CutText& cut) const override { cut_at_characters(cut, MatchFate::removed, is_white_space); }
};

/// White space goes, every mark of punctuation stands alone.
class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(CutText& cut) const override {
    std::vector<TextRange> pieces;
    pieces.reserve(cut.text.text().size() / 4);
    for (const TextRange& piece : cut.pieces) cut_words(cut.text.text().substr(0, piece.end), piece.begin, pieces);
    cut.pieces = std::move(pieces);
  }

 private:
  static void cut_words(std::string_view text, std::size_t at, std::vector<TextRange>& pieces) {
    std::size_t word = at;
    while (at < text.size()) {
      const std::size_t begin = at;
      const char32_t c = next_character(text, at);
      const bool space = is_white_space(c);
      if (!space && !is_punctuation(c)) continue;
      if (begin > word) pieces.push_back({word, begin});
      if (!space) pieces.push_back({begin, at});
      word = at;
    }
    if (word < text.size()) pieces.push_back({word, text.size()});
  }
};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(const StageSource& source) : fate_(match_fate(source, "Isolated")) {}
  void apply(CutText& cut) const override { cut_at_characters(cut, fate_, is_punctuation); }

 private:
  MatchFate fate_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(const StageSource& source) : fate_(source.flag("individual_digits", false) ? MatchFate::isolated : MatchFate::contiguous) {}
  void apply(CutText& cut) const override { cut_at_characters(cut, fate_, is_numeric); }

 private:
  MatchFate fate_;
};

/// Runs of word characters and runs of other signs: \w+|[^\w\s]+.
class Whitespace : public PreTokenizer {
 public:
  void apply(CutText& cut) const override {
    std::vector<TextRange> pieces;
    const auto class_of = [](char32_t c) { return is_alphanumeric_or_mark(c) ? 2 : is_white_space(c) ? 0 : 1; };
    for (const TextRange& piece : cut.pieces) {
      const std::string_view text = cut.text.text().substr(0, piece.end);
      int open = 0;
      for (std::size_t at = piece.begin; at < piece.end;) {
        const std::size_t begin = at;
        const int found = class_of(next_character(text, at));
        if (found != 0 && found == open) {
          pieces.back().end = at;
        } else if (found != 0) {
          pieces.push_back({begin, at});
        }
        open = found;
      }
    }
    cut.pieces = std::move(pieces);
  }
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(const StageSource& source) {
    const std::string text = source.required_text("delimiter");
    std::size_t at = 0;
    if (!text.empty()) delimiter_ = next_character(text, at);
    if (at == 0 || at != text.size()) source.refuse("delimiter", "one character", quoted(text));
  }
  void apply(CutText& cut) const override {
    cut_at_characters(cut, MatchFate::removed, [&](char32_t c) { return c == delimiter_; });
  }

 private:
  char32_t delimiter_ = 0;
};

/// Pieces of so many characters.
class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(const StageSource& source) : length_(source.integer("length", 5)) {
    if (length_ < 1) source.refuse("length", "at least 1", std::to_string(length_));
  }
  void apply(CutText& cut) const override {
    std::vector<TextRange> pieces;
    for (const TextRange& piece : cut.pieces) {
      const std::string_view text = cut.text.text().substr(0, piece.end);
      std::int64_t count = 0;
      for (std::size_t at = piece.begin; at < piece.end; ++count) {
        if (count % length_ == 0) pieces.push_back({at, at});
        next_character(text, at);
        pieces.back().end = at;
      }
    }
    cut.pieces = std::move(pieces);
  }

 private:
  std::int64_t length_;
};

std::unique_ptr<PreTokenizer> make(const StageSource& source) {
  const std::string type = source.type();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "Punctuation") return std::make_unique<Punctuation>(source);
  if (type == "Digits") return std::make_unique<Digits>(source);
  if (type == "FixedLength") return std::make_unique<FixedLength>(source);
  return std::make_unique<CharDelimiterSplit>(source);
}

}  // namespace

const PreTokenizerKind& pre_tokenizer_characters() {
  static constexpr std::array<std::string_view, 7> types{"WhitespaceSplit", "Whitespace",  "BertPreTokenizer",  "Punctuation",
                                                         "Digits",          "FixedLength", "CharDelimiterSplit"};
  static const PreTokenizerKind kind{types, "white space, punctuation, digits", make};
  return kind;
}

}  // namespace vitrine
