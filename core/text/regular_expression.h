#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/aligned_text.h"

namespace vitrine {

/// A regular expression as Hugging Face's `tokenizers` reads it, which is Oniguruma's Ruby syntax over Unicode; run by
/// PCRE2, compiled to machine code where it can be. Immutable, so any number of threads may use one.
class RegularExpression {
 public:
  /// @param where  names the file and field in the Error
  /// @throws Error where the expression, which may be a stranger's, is none or uses what PCRE2 has not
  RegularExpression(std::string_view pattern, const std::string& where);
  ~RegularExpression();
  RegularExpression(RegularExpression&&) noexcept;

  /// Calls `found` with every match from left to right. Bytes that are no UTF-8 match nothing and nothing looks past them.
  /// An empty match right behind another is none, as in Rust's crates.
  /// @throws Error where matching takes too long
  void each_match(std::string_view text, const std::function<void(TextRange)>& found) const;

 private:
  struct Compiled;
  void each_match_of_utf8(std::string_view text, std::size_t place, const std::function<void(TextRange)>& found) const;
  std::unique_ptr<Compiled> compiled_;
};

/// The same expression in PCRE2's syntax. @throws Error
std::string pcre2_of_oniguruma(std::string_view pattern, const std::string& where);

/// A literal as an expression.
std::string escaped_literal(std::string_view text);

}  // namespace vitrine
