#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/base/run.h"
#include "viewer/data/document.h"
#include "viewer/data/head_shelf.h"

// Numbers that colour the tokens of a text.

namespace vitrine {

enum class TokenQuantity { reads, read_by, layer_reads, layer_read_by, log_probability, entropy, residual_norm, attribution, loss_difference };

/// How a quantity is called and drawn.
struct TokenQuantityWords {
  TokenQuantity quantity;
  std::string_view name;   ///< "reads": of sessions
  std::string_view title;  ///< "attention from the chosen token"
  std::string_view unit;
  bool is_signed;  ///< 0 stands in the middle of the colours
};
/// In the order of menus.
extern const std::array<TokenQuantityWords, 9> token_quantities;
const TokenQuantityWords& words_of(TokenQuantity quantity);

/// What is asked for.
struct TokenOrder {
  TokenQuantity quantity = TokenQuantity::reads;
  MapId map;                              ///< document, module, head and sequence
  std::shared_ptr<const Document> other;  ///< the reference of a loss difference, or the attribution; or null
  std::optional<std::size_t> query, key;  ///< chosen tokens, of the module's sides
  bool operator==(const TokenOrder&) const = default;
};

/// What `vitrine attribute --json` says of each token.
struct AttributedTokens {
  std::vector<std::int32_t> ids;  ///< -1 where the file has none
  std::vector<std::string> bytes;
  std::vector<double> scores;  ///< NaN where the file has none
  std::string note;            ///< method, target, unit
};
AttributedTokens attributed_tokens(const Json& attribution);

/// A number for each token of both sides.
struct TokenValues {
  std::array<std::vector<double>, 2> of_side;  ///< by Recording::Side; empty: that text has no numbers. NaN: a token without one
  double low = 0.0, high = 1.0;                ///< what the colours should span
  std::string note;                            ///< what a reader must know, or what is missing; may be empty
};

/// Colours from 0 to the value below which `share` of the numbers lie.
void span_from_zero(TokenValues& values, double share = 1.0);
/// Colours so that 0 stands in the middle of them.
void span_around_zero(TokenValues& values);

/// Reads and computes; for a background thread. What cannot be had is said in the note.
/// @throws Error where the recording cannot be read; Cancelled
TokenValues token_values(const TokenOrder& order, HeadShelf& shelf, Run& run);

}  // namespace vitrine
