#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/aligned_text.h"
#include "core/text/regular_expression.h"

namespace vitrine {

/// Finds one kind of personal data by rules. Extension point: probes/scrub/patterns/<name>.cpp.
struct Scrubber {
  std::string_view name;     ///< "email"
  std::string_view label;    ///< of what it finds: "EMAIL_ADDRESS"
  std::string_view summary;
  /// Calls `found` with bytes of the text, in any order; they may overlap. @throws Error where a text makes an expression run
  /// too long: then nothing is known of that text
  void (*find)(std::string_view text, const std::function<void(TextRange)>& found);
};

std::span<const Scrubber* const> all_scrubbers();

/// The matches of the expressions that a check accepts, each from left to right.
/// @param accept  null: all
void each_match_of(std::span<const RegularExpression> expressions, std::string_view text, const std::function<void(TextRange)>& found,
                   bool (*accept)(std::string_view match) = nullptr);

/// Expressions that a pattern's file writes down; compiled once.
std::vector<RegularExpression> expressions_of(std::string_view name, std::span<const std::string> patterns);

}  // namespace vitrine
