#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/text/characters.h"
#include "core/text/stages.h"

namespace vitrine {

/// What becomes of the matches that cut a text.
enum class MatchFate {
  removed,
  isolated,                ///< pieces of their own
  merged_with_previous,    ///< the last part of the piece before
  merged_with_next,        ///< the first part of the piece behind
  contiguous,              ///< neighbouring matches are one piece
};
/// "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous" of tokenizer.json's "behavior".
MatchFate match_fate(const StageSource& source, std::string_view otherwise);

/// What counts as a match: what was found, or what lies between.
enum class MatchSense { found, between };

/// Cuts a piece at matches that come from left to right.
class Cutter {
 public:
  Cutter(MatchFate fate, TextRange piece, std::vector<TextRange>& out, MatchSense sense = MatchSense::found)
      : fate_(fate), sense_(sense), end_(piece.end), at_(piece.begin), out_(out) {}
  void match(TextRange found) {
    if (found.begin > at_) add({at_, found.begin}, MatchSense::between);
    add(found, MatchSense::found);
    at_ = found.end;
  }
  void finish() {
    if (at_ < end_) add({at_, end_}, MatchSense::between);
    close();
  }

 private:
  void add(TextRange range, MatchSense what);
  void close() {
    if (open_.size() > 0) out_.push_back(open_);
    open_ = {};
  }

  MatchFate fate_;
  MatchSense sense_;
  std::size_t end_, at_;
  std::vector<TextRange>& out_;
  TextRange open_;         // a piece that may still grow
  bool last_was_match_ = false;
};

/// Rewrites every piece of a text.
/// @param rewrite  (piece, edits, which stand at its beginning)
template <typename Rewrite>
void rewrite_pieces(CutText& cut, const Rewrite& rewrite) {
  TextEdits edits(cut.text);
  for (TextRange& piece : cut.pieces) {
    edits.keep(piece.begin - edits.at());
    const std::size_t begin = edits.written().size(), end = piece.end;
    rewrite(piece, edits);
    edits.keep(end - edits.at());
    piece = {begin, edits.written().size()};
  }
  edits.finish();
}

/// Cuts every piece of a text at the characters for which `matches` holds.
template <typename Matches>
void cut_at_characters(CutText& cut, MatchFate fate, const Matches& matches) {
  std::vector<TextRange> pieces;
  const std::string_view text = cut.text.text();
  for (const TextRange& piece : cut.pieces) {
    Cutter cutter(fate, piece, pieces);
    const std::string_view part = text.substr(0, piece.end);
    for (std::size_t at = piece.begin; at < piece.end;) {
      const std::size_t begin = at;
      if (matches(next_character(part, at))) cutter.match({begin, at});
    }
    cutter.finish();
  }
  cut.pieces = std::move(pieces);
}

}  // namespace vitrine
