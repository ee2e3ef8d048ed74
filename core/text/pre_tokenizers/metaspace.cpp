#include <array>

#include "core/base/error.h"
#include "core/text/cutting.h"

namespace vitrine {
namespace {

enum class Prefix { always, first, never };

/// Spaces become a visible mark, which begins a piece.
class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(const StageSource& source) : mark_(source.text("replacement", "\u2581")), cuts_(source.flag("split", true)) {
    if (mark_.empty() || count_characters(mark_) != 1) source.refuse("replacement", "one character", quoted(mark_));
    const std::string scheme = source.text("prepend_scheme", source.flag("add_prefix_space", true) ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never") source.refuse("prepend_scheme", "always, first or never", quoted(scheme));
    prefix_ = scheme == "always" ? Prefix::always : scheme == "first" ? Prefix::first : Prefix::never;
  }

  void apply(CutText& cut) const override {
    const std::string_view text = cut.text.text();
    rewrite_pieces(cut, [&](const TextRange& piece, TextEdits& edits) {
      const bool marked = text.substr(piece.begin).starts_with(mark_) || text[piece.begin] == ' ';
      const bool wanted = prefix_ == Prefix::always || (prefix_ == Prefix::first && cut.text.origin(piece).begin == 0);
      if (wanted && !marked) edits.replace(0, mark_);
      const std::string_view part = text.substr(0, piece.end);
      for (std::size_t at; (at = part.find(' ', edits.at())) != std::string_view::npos;) {
        edits.keep(at - edits.at());
        edits.replace_byte(mark_);
      }
    });
    if (cuts_) cut_at_marks(cut);
  }

 private:
  void cut_at_marks(CutText& cut) const {
    std::vector<TextRange> pieces;
    pieces.reserve(cut.text.text().size() / 4);
    for (const TextRange& piece : cut.pieces) {
      const std::string_view text = cut.text.text().substr(0, piece.end);
      std::size_t begin = piece.begin;
      for (std::size_t at = text.find(mark_, begin); at != std::string_view::npos; at = text.find(mark_, at + mark_.size())) {
        if (at > begin) pieces.push_back({begin, at});
        begin = at;
      }
      if (begin < piece.end) pieces.push_back({begin, piece.end});
    }
    cut.pieces = std::move(pieces);
  }

  std::string mark_;
  bool cuts_;
  Prefix prefix_;
};

}  // namespace

const PreTokenizerKind& pre_tokenizer_metaspace() {
  static constexpr std::array<std::string_view, 1> types{"Metaspace"};
  static const PreTokenizerKind kind{types, "SentencePiece's spaces", [](const StageSource& source) -> std::unique_ptr<PreTokenizer> {
                                       return std::make_unique<Metaspace>(source);
                                     }};
  return kind;
}

}  // namespace vitrine
