#include "core/text/characters.h"

#include <array>

#include "core/text/stages.h"

// Normalizers that look at one character at a time.

namespace vitrine {
namespace {

constexpr std::string_view dropped = {};

/// @param change  (character, its bytes, edits) -> whether it was written
template <typename Change>
void each_character(AlignedText& text, const Change& change) {
  TextEdits edits(text);
  const std::string_view all = text.text();
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t begin = at;
    const char32_t c = next_character(all, at);
    if (c == no_character || !change(c, at - begin, edits)) edits.keep(at - begin);
  }
  edits.finish();
}

class Lowercase : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    std::string lower;
    each_character(text, [&](char32_t c, std::size_t bytes, TextEdits& edits) {
      if (c < 0x80 && (c < 'A' || c > 'Z')) return false;
      lower.clear();
      append_lower_case(lower, c);
      edits.replace(bytes, lower);
      return true;
    });
  }
};

class StripAccents : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    each_character(text, [](char32_t c, std::size_t bytes, TextEdits& edits) {
      if (!is_combining_mark(c)) return false;
      edits.replace(bytes, dropped);
      return true;
    });
  }
};

/// What Google's translation systems do to spaces and controls before anything else.
class Nmt : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    each_character(text, [](char32_t c, std::size_t bytes, TextEdits& edits) {
      const bool control = (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f;
      const bool space = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 ||
                         c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
      if (control || space) edits.replace(bytes, control ? dropped : " ");
      return control || space;
    });
  }
};

class Strip : public Normalizer {
 public:
  explicit Strip(const StageSource& source) : left_(source.flag("strip_left", true)), right_(source.flag("strip_right", true)) {}

  void apply(AlignedText& text) const override {
    TextEdits edits(text);
    const std::string_view all = text.text();
    std::size_t begin = 0, end = all.size();
    for (std::size_t at = 0; left_ && at < all.size() && is_white_space(next_character(all, at));) begin = at;
    for (std::size_t at = end; right_ && at > begin && is_white_space(previous_character(all, at));) end = at;
    edits.replace(begin, dropped);
    edits.keep(end - begin);
    edits.replace(all.size() - end, dropped);
    edits.finish();
  }

 private:
  bool left_, right_;
};

}  // namespace

const NormalizerKind& normalizer_characters() {
  static constexpr std::array<std::string_view, 4> types{"Lowercase", "StripAccents", "Nmt", "Strip"};
  static const NormalizerKind kind{types, "case, accents, controls and white space", [](const StageSource& source) -> std::unique_ptr<Normalizer> {
                                     const std::string type = source.type();
                                     if (type == "Lowercase") return std::make_unique<Lowercase>();
                                     if (type == "StripAccents") return std::make_unique<StripAccents>();
                                     if (type == "Nmt") return std::make_unique<Nmt>();
                                     return std::make_unique<Strip>(source);
                                   }};
  return kind;
}

}  // namespace vitrine
