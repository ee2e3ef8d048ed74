#include <array>

#include "core/text/characters.h"
#include "core/text/stages.h"

// BERT's cleaning (Devlin et al. 2019, tokenization.py), in the order and with the ranges of Hugging Face's `tokenizers`.

namespace vitrine {
namespace {

bool is_cjk(char32_t c) {
  if (c < 0x3400) return false;
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const StageSource& source)
      : clean_(source.flag("clean_text", true)), separate_cjk_(source.flag("handle_chinese_chars", true)),
        lower_case_(source.flag("lowercase", true)), strip_accents_(source.flag("strip_accents", lower_case_)),
        decompose_(make_normalizers(Json::object().set("type", "NFD"), source.where())) {}

  void apply(AlignedText& text) const override {
    clean(text);
    if (strip_accents_) decompose_.front()->apply(text);
    if (strip_accents_ || lower_case_) fold(text);
  }

 private:
  void clean(AlignedText& text) const {
    TextEdits edits(text);
    const std::string_view all = text.text();
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t begin = at;
      const char32_t c = next_character(all, at);
      if (c > ' ' && c < 0x7f) {
        edits.keep(1);
      } else if (clean_ && c != ' ' && is_dropped(c)) {
        edits.replace(at - begin, "");
      } else if (clean_ && c != ' ' && is_white_space(c)) {
        edits.replace(at - begin, " ");
      } else if (separate_cjk_ && is_cjk(c)) {
        edits.replace(0, " ");
        edits.keep(at - begin);
        edits.replace(0, " ");
      } else {
        edits.keep(at - begin);
      }
    }
    edits.finish();
  }

  /// Bytes that are no UTF-8 go like the character that stands for them elsewhere, U+FFFD.
  static bool is_dropped(char32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    return c == 0 || c == 0xfffd || c == no_character || is_control(c);
  }

  void fold(AlignedText& text) const {
    TextEdits edits(text);
    const std::string_view all = text.text();
    std::string lower;
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t begin = at;
      const char32_t c = next_character(all, at);
      if (strip_accents_ && is_nonspacing_mark(c)) {
        edits.replace(at - begin, "");
      } else if (lower_case_ && c != no_character && (c >= 0x80 || (c >= 'A' && c <= 'Z'))) {
        lower.clear();
        append_lower_case(lower, c);
        edits.replace(at - begin, lower);
      } else {
        edits.keep(at - begin);
      }
    }
    edits.finish();
  }

  bool clean_, separate_cjk_, lower_case_, strip_accents_;
  std::vector<std::unique_ptr<Normalizer>> decompose_;
};

}  // namespace

const NormalizerKind& normalizer_bert() {
  static constexpr std::array<std::string_view, 1> types{"BertNormalizer"};
  static const NormalizerKind kind{types, "BERT's cleaning, folding and separation of CJK", [](const StageSource& source) -> std::unique_ptr<Normalizer> {
                                     return std::make_unique<BertNormalizer>(source);
                                   }};
  return kind;
}

}  // namespace vitrine
