#include <array>
#include <numeric>

#include "core/base/error.h"
#include "core/text/regular_expression.h"
#include "core/text/stages.h"

namespace vitrine {
namespace {

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    tokens = {std::accumulate(tokens.begin(), tokens.end(), std::string())};
  }
};

/// Takes up to so many of a character from both ends of each text.
class Strip : public Decoder {
 public:
  explicit Strip(const StageSource& source)
      : content_(source.required_text("content")), start_(source.integer("start", 0)), stop_(source.integer("stop", 0)) {
    if (content_.empty()) source.refuse("content", "a character", "none");
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      for (std::int64_t i = 0; i < start_ && token.starts_with(content_); ++i) token.erase(0, content_.size());
      for (std::int64_t i = 0; i < stop_ && token.ends_with(content_); ++i) token.resize(token.size() - content_.size());
    }
  }

 private:
  std::string content_;
  std::int64_t start_, stop_;
};

class Replace : public Decoder {
 public:
  explicit Replace(const StageSource& source) : pattern_(source.pattern(), source.where()), content_(source.content()) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string made;
      std::size_t at = 0;
      pattern_.each_match(token, [&](TextRange match) {
        made.append(token, at, match.begin - at).append(content_);
        at = match.end;
      });
      token = made.append(token, at);
    }
  }

 private:
  RegularExpression pattern_;
  std::string content_;
};

/// The end of a word, as GPT-1 writes it, is a space except at the end of the text.
class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(const StageSource& source) : suffix_(source.text("suffix", "</w>")) {
    if (suffix_.empty()) source.refuse("suffix", "a text", "none");
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view between = i + 1 < tokens.size() ? " " : "";
      for (std::size_t at = 0; (at = tokens[i].find(suffix_, at)) != std::string::npos; at += between.size()) {
        tokens[i].replace(at, suffix_.size(), between);
      }
    }
  }

 private:
  std::string suffix_;
};

std::unique_ptr<Decoder> make(const StageSource& source) {
  const std::string type = source.type();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") return std::make_unique<Strip>(source);
  if (type == "Replace") return std::make_unique<Replace>(source);
  return std::make_unique<BpeDecoder>(source);
}

}  // namespace

const DecoderKind& decoder_text() {
  static constexpr std::array<std::string_view, 4> types{"Fuse", "Strip", "Replace", "BPEDecoder"};
  static const DecoderKind kind{types, "joins, strips and replaces", make};
  return kind;
}

}  // namespace vitrine
