#include <algorithm>
#include <optional>

#include "core/text/characters.h"
#include "core/text/tokenizer.h"

namespace vitrine {
namespace {

/// Bytes of `text` that end with a whole character, or with bytes that will never be one.
std::size_t complete_bytes(std::string_view text) {
  // A character has at most four bytes; the lead byte says how many.
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t needed = byte < 0xc2 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1;
    return needed > back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace

std::vector<TokenId> text_ends(const Tokenizer& tokenizer) {
  std::vector<TokenId> ends;
  for (const std::optional<TokenId>& end : {tokenizer.special().eos, tokenizer.special().end_of_turn}) {
    if (end && std::ranges::find(ends, *end) == ends.end()) ends.push_back(*end);
  }
  return ends;
}

std::string TokenStream::push(TokenId id) {
  window_.push_back(id);
  const std::string text = tokenizer_.decode(window_);
  if (text.size() >= said_) waiting_.append(text, said_);
  said_ = text.size();
  // The last few tokens are enough to know what the next one says, so long as the next one is not the first of all text.
  constexpr std::size_t longest_window = 8, kept = 4;
  if (window_.size() > longest_window) {
    const std::string tail = tokenizer_.decode(std::span(window_).last(kept));
    if (!tail.empty()) {
      window_.erase(window_.begin(), window_.end() - kept);
      said_ = tail.size();
    }
  }
  const std::size_t whole = complete_bytes(waiting_);
  std::string said = waiting_.substr(0, whole);
  waiting_.erase(0, whole);
  return said;
}

std::string TokenStream::finish() {
  window_.clear();
  said_ = 0;
  return std::move(waiting_);
}

}  // namespace vitrine
