#include <unicode/uscript.h>

#include <array>
#include <optional>

#include "core/text/characters.h"
#include "core/text/stages.h"

namespace vitrine {
namespace {

/// Cuts where the script changes; Japanese counts as one script, a space belongs to any.
class UnicodeScripts : public PreTokenizer {
 public:
  void apply(CutText& cut) const override {
    std::vector<TextRange> pieces;
    for (const TextRange& piece : cut.pieces) {
      const std::string_view text = cut.text.text().substr(0, piece.end);
      std::optional<UScriptCode> last;
      for (std::size_t at = piece.begin; at < piece.end;) {
        const std::size_t begin = at;
        const UScriptCode script = script_of(next_character(text, at));
        // As published: what stands before the first character with a script of its own belongs to no piece.
        if (script != any && last != script) pieces.push_back({begin, begin});
        if (script != any) last = script;
        if (last) pieces.back().end = at;
      }
    }
    cut.pieces = std::move(pieces);
  }

 private:
  static constexpr UScriptCode any = USCRIPT_UNKNOWN;

  static UScriptCode script_of(char32_t c) {
    if (c == ' ' || !stood_in_unicode(c, 9)) return any;  // the published table is Unicode 9's
    if (c == 0x30fc) return USCRIPT_HAN;
    UErrorCode status = U_ZERO_ERROR;
    const UScriptCode script = uscript_getScript(static_cast<UChar32>(c), &status);
    return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ? USCRIPT_HAN : script;
  }
};

}  // namespace

const PreTokenizerKind& pre_tokenizer_unicode_scripts() {
  static constexpr std::array<std::string_view, 1> types{"UnicodeScripts"};
  static const PreTokenizerKind kind{types, "cuts where the script changes",
                                     [](const StageSource&) -> std::unique_ptr<PreTokenizer> { return std::make_unique<UnicodeScripts>(); }};
  return kind;
}

}  // namespace vitrine
