#include <array>

#include "core/text/cutting.h"
#include "core/text/regular_expression.h"

namespace vitrine {
namespace {

class Split : public PreTokenizer {
 public:
  explicit Split(const StageSource& source)
      : pattern_(source.pattern(), source.where() + ": pattern"), fate_(match_fate(source, "")),
        sense_(source.flag("invert", false) ? MatchSense::between : MatchSense::found) {}

  void apply(CutText& cut) const override {
    std::vector<TextRange> pieces;
    pieces.reserve(cut.pieces.size() + cut.text.text().size() / 4);
    for (const TextRange& piece : cut.pieces) {
      Cutter cutter(fate_, piece, pieces, sense_);
      pattern_.each_match(cut.text.text().substr(piece.begin, piece.size()),
                          [&](TextRange match) { cutter.match({piece.begin + match.begin, piece.begin + match.end}); });
      cutter.finish();
    }
    cut.pieces = std::move(pieces);
  }

 private:
  RegularExpression pattern_;
  MatchFate fate_;
  MatchSense sense_;
};

}  // namespace

const PreTokenizerKind& pre_tokenizer_split() {
  static constexpr std::array<std::string_view, 1> types{"Split"};
  static const PreTokenizerKind kind{types, "cuts at an expression", [](const StageSource& source) -> std::unique_ptr<PreTokenizer> {
                                       return std::make_unique<Split>(source);
                                     }};
  return kind;
}

}  // namespace vitrine
