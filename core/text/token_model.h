#pragma once

#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// A token and the bytes [begin, end) of the piece it stands for.
struct ModelToken {
  TokenId id = 0;
  std::uint32_t begin = 0, end = 0;
};

/// Turns a piece of normalized text into tokens, the same ones whenever it meets the same piece. Immutable.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the tokens of a piece that is not empty. @throws Error where it has none for a part
  virtual void encode(std::string_view piece, std::vector<ModelToken>& tokens) const = 0;
  /// Whether a piece may be cut before every run of U+2581 without changing a token.
  virtual bool is_cut_by_marks() const { return false; }
};

}  // namespace vitrine
