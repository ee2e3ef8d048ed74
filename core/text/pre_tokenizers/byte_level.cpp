#include <array>

#include "core/text/byte_alphabet.h"
#include "core/text/cutting.h"
#include "core/text/regular_expression.h"

namespace vitrine {
namespace {

/// The expression that cuts a text as GPT-2 does (Radford et al. 2019).
constexpr std::string_view gpt2_split = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// GPT-2's cut. Its second half, bytes as printable characters, is left to the model where no stage follows: its tokens are
/// read as the bytes that they stand for (Vocabulary::alphabet). The same pieces, without a text of twice the length.
class ByteLevel : public PreTokenizer {
 public:
  explicit ByteLevel(const StageSource& source)
      : prefix_(source.flag("add_prefix_space", true)), cuts_(source.flag("use_regex", true)), maps_(source.flag("maps", false)),
        split_(gpt2_split, source.where()) {}

  void apply(CutText& cut) const override {
    const auto lacks_space = [&](const TextRange& piece) { return cut.text.text()[piece.begin] != ' '; };
    if (prefix_ && !cut.pieces.empty()) {
      std::vector<bool> wanting;
      for (const TextRange& piece : cut.pieces) wanting.push_back(piece.size() > 0 && lacks_space(piece));
      std::size_t index = 0;
      rewrite_pieces(cut, [&](const TextRange&, TextEdits& edits) {
        if (wanting[index++]) edits.replace(0, " ");
      });
    }
    if (cuts_) split(cut);
    if (!maps_) return;
    const std::string_view text = cut.text.text();
    rewrite_pieces(cut, [&](const TextRange& piece, TextEdits& edits) {
      for (std::size_t at = piece.begin; at < piece.end; ++at) edits.replace_byte(byte_characters()[static_cast<unsigned char>(text[at])]);
    });
  }

 private:
  void split(CutText& cut) const {
    std::vector<TextRange> pieces;
    for (const TextRange& piece : cut.pieces) {
      Cutter cutter(MatchFate::isolated, piece, pieces);
      split_.each_match(cut.text.text().substr(piece.begin, piece.size()),
                        [&](TextRange match) { cutter.match({piece.begin + match.begin, piece.begin + match.end}); });
      cutter.finish();
    }
    cut.pieces = std::move(pieces);
  }

  bool prefix_, cuts_, maps_;
  RegularExpression split_;
};

}  // namespace

const PreTokenizerKind& pre_tokenizer_byte_level() {
  static constexpr std::array<std::string_view, 1> types{"ByteLevel"};
  static const PreTokenizerKind kind{types, "GPT-2's words, over bytes", [](const StageSource& source) -> std::unique_ptr<PreTokenizer> {
                                       return std::make_unique<ByteLevel>(source);
                                     }};
  return kind;
}

}  // namespace vitrine
