#include <array>
#include <utility>

#include "core/text/stages.h"

namespace vitrine {
namespace {

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) text.replace(at, what.size(), with);
}

/// Joins what continues a word and puts spaces between words.
class WordPiece : public Decoder {
 public:
  explicit WordPiece(const StageSource& source) : prefix_(source.text("prefix", "##")), cleans_(source.flag("cleanup", true)) {}
  void apply(std::vector<std::string>& tokens) const override {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> spaces{
        {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}, {" do not", " don't"},
         {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}}};
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && tokens[i].starts_with(prefix_)) {
        tokens[i].erase(0, prefix_.size());
      } else if (i > 0) {
        tokens[i].insert(0, " ");
      }
      for (const auto& [what, with] : spaces) {
        if (cleans_) replace_all(tokens[i], what, with);
      }
    }
  }

 private:
  std::string prefix_;
  bool cleans_;
};

/// Marks back to spaces; those of the first token go where the pre-tokenizer puts one there.
class Metaspace : public Decoder {
 public:
  explicit Metaspace(const StageSource& source)
      : mark_(source.text("replacement", "\u2581")),
        prefix_(source.text("prepend_scheme", source.flag("add_prefix_space", true) ? "always" : "never") != "never") {
    if (mark_.empty()) source.refuse("replacement", "a character", "none");
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) replace_all(tokens[i], mark_, i == 0 && prefix_ ? "" : " ");
  }

 private:
  std::string mark_;
  bool prefix_;
};

/// SentencePiece's own: marks back to spaces, without the one that was put before the text, or where it joins white space
/// without any at the beginning.
class SentencePiece : public Decoder {
 public:
  explicit SentencePiece(const StageSource& source)
      : strips_one_(source.flag("add_dummy_prefix", true)), strips_all_(source.flag("remove_extra_whitespaces", true)) {}
  void apply(std::vector<std::string>& tokens) const override {
    bool first = true;
    for (std::string& token : tokens) {
      const std::size_t size = token.size();
      if (first && (strips_one_ || strips_all_) && token.starts_with("\u2581")) token.erase(0, 3);
      first = first && ((strips_all_ && token.empty()) || size == 0);
      replace_all(token, "\u2581", " ");
    }
  }

 private:
  bool strips_one_, strips_all_;
};

std::unique_ptr<Decoder> make(const StageSource& source) {
  const std::string type = source.type();
  if (type == "WordPiece") return std::make_unique<WordPiece>(source);
  if (type == "Metaspace") return std::make_unique<Metaspace>(source);
  return std::make_unique<SentencePiece>(source);
}

}  // namespace

const DecoderKind& decoder_words() {
  static constexpr std::array<std::string_view, 3> types{"WordPiece", "Metaspace", "SentencePiece"};
  static const DecoderKind kind{types, "words from pieces", make};
  return kind;
}

}  // namespace vitrine
