#pragma once

#include <optional>

#include "core/decode/search.h"
#include "core/decode/stop_strings.h"
#include "core/text/tokenizer.h"

namespace vitrine {

/// The text of tokens as they come, never half a character, cut before a stop string; ids where there is no tokenizer.
class TextTeller {
 public:
  /// @param prompt  what stands before: a space that belongs to the first token is said unless the text begins with it
  /// @param say     hears the text piece by piece; may be empty
  TextTeller(const Tokenizer* tokenizer, std::span<const TokenId> prompt, std::vector<std::string> stops, std::function<void(std::string_view)> say = {});
  /// False where a stop string was met.
  bool add(TokenId id);
  void finish();
  const std::string& text() const { return text_; }

 private:
  void tell(std::string_view words);

  const Tokenizer* tokenizer_;
  std::function<void(std::string_view)> say_;
  std::optional<TokenStream> stream_;
  StopStrings stops_;
  std::string text_;
};

/// A text for people's programs: {"text", "tokens": [{"id", "text", "logprob"}], "ended"}, with "top" in tokens and "score" where there are some.
Json json_of(const GeneratedText& generated, const std::string& text, const Tokenizer* tokenizer);

}  // namespace vitrine
