#include <array>

#include "core/text/regular_expression.h"
#include "core/text/stages.h"

namespace vitrine {
namespace {

/// Every match of a pattern becomes a text.
class Replace : public Normalizer {
 public:
  explicit Replace(const StageSource& source)
      : pattern_(source.pattern(), source.where() + ": pattern"),
        byte_(source.json()["pattern"]["String"].is_string() && source.json()["pattern"]["String"].string().size() == 1
                  ? source.json()["pattern"]["String"].string()[0]
                  : '\0'),
        content_(source.content()) {}

  void apply(AlignedText& text) const override {
    TextEdits edits(text);
    const std::string_view all = text.text();
    if (byte_ != '\0') {
      for (std::size_t at; (at = all.find(byte_, edits.at())) != std::string_view::npos;) {
        edits.keep(at - edits.at());
        edits.replace_byte(content_);
      }
    } else {
      pattern_.each_match(all, [&](TextRange match) {
        edits.keep(match.begin - edits.at());
        edits.replace(match.size(), content_);
      });
    }
    edits.finish();
  }

 private:
  RegularExpression pattern_;
  char byte_;  // the pattern, where it is one byte
  std::string content_;
};

/// A text before every text that is not empty.
class Prepend : public Normalizer {
 public:
  explicit Prepend(const StageSource& source) : prefix_(source.required_text("prepend")) {}

  void apply(AlignedText& text) const override {
    if (text.text().empty()) return;
    TextEdits edits(text);
    edits.replace(0, prefix_);
    edits.finish();
  }

 private:
  std::string prefix_;
};

}  // namespace

const NormalizerKind& normalizer_replace() {
  static constexpr std::array<std::string_view, 2> types{"Replace", "Prepend"};
  static const NormalizerKind kind{types, "other texts in the place of matches, or before all", [](const StageSource& source) -> std::unique_ptr<Normalizer> {
                                     if (source.type() == "Replace") return std::make_unique<Replace>(source);
                                     return std::make_unique<Prepend>(source);
                                   }};
  return kind;
}

}  // namespace vitrine
