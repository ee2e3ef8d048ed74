#pragma once

#include <span>
#include <vector>

#include "core/decode/growing_text.h"

namespace vitrine {

/// Tokens that may come next, which the model then checks in one pass.
struct Draft {
  std::vector<TokenId> ids{};
  /// [ids] of [vocabulary] what each id was drawn from, as scores; empty: nothing was drawn, these are guesses.
  std::vector<std::vector<float>> scores{};
};

/// Where drafts come from.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// @param text  prompt and what was made
  /// @param most  tokens that are of use, at least one
  virtual Draft propose(const GrowingText& growing, std::span<const TokenId> text, std::size_t most) = 0;
};

/// The longest draft: shared by the searches that make them.
const DecodeOption& draft_tokens_option();

/// Makes the text as plain search would, several tokens a pass where the draft says what the model would have said. What plain search takes
/// is taken, by the same numbers where tokens are drawn: the text is the same, token for token. Where a draft was itself drawn, its tokens
/// are kept or replaced so that the text has the model's distribution (Leviathan et al. 2023, arXiv:2211.17192, algorithm 1), not the same
/// text. A pass has no more rows than come out as if each came alone (rows_that_agree()).
void make_by_drafts(GrowingText& text, Drafter& drafter);

}  // namespace vitrine
