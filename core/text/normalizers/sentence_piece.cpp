#include <array>

#include "core/base/error.h"
#include "core/text/character_map.h"
#include "core/text/characters.h"
#include "core/text/stages.h"
#include "core/text/trie.h"

// What SentencePiece does to a text before its model sees it (Kudo & Richardson 2018; normalizer.cc): the longest mapped
// beginning of what remains is replaced, white space is joined and written U+2581. "charsmap" holds the model's bytes.

namespace vitrine {
namespace {

constexpr std::string_view mark = "\u2581", replacement_character = "\ufffd";

class SentencePieceNormalizer : public Normalizer {
 public:
  explicit SentencePieceNormalizer(const StageSource& source)
      : map_(source.text("charsmap", ""), source.where() + ": precompiled_charsmap"), prefix_(source.flag("add_dummy_prefix", true)),
        join_(source.flag("remove_extra_whitespaces", true)), suffix_(source.flag("treat_whitespace_as_suffix", false)),
        keep_bytes_(source.flag("keep_bytes", false)), space_(source.flag("escape_whitespaces", true) ? mark : " ") {
    const Json& symbols = source.json()["user_defined"];
    std::vector<std::pair<std::string_view, std::int32_t>> keys;
    if (symbols.is_array()) {
      for (const Json& symbol : symbols.items()) {
        if (!symbol.is_string()) source.refuse("user_defined", "texts", quoted(symbol.dump()));
        keys.emplace_back(symbol.string(), 0);
      }
    }
    has_symbols_ = !keys.empty();
    symbols_ = Trie(std::move(keys));
  }

  void apply(AlignedText& text) const override {
    const std::string_view all = text.text();
    TextEdits edits(text);
    bool after_space = join_;
    std::size_t at = 0;
    while (join_ && at < all.size()) {
      const Prefix prefix = first_of(all, at);
      if (prefix.becomes != " ") break;
      at += prefix.bytes;
    }
    edits.replace(at, "");
    if (at == all.size()) return edits.finish();  // nothing but spaces
    if (prefix_ && !suffix_) edits.replace(0, space_);
    while (at < all.size()) {
      const Prefix prefix = first_of(all, at);
      at += prefix.bytes;
      write(prefix, after_space, edits);
    }
    if (join_) {
      std::size_t size = edits.written().size();
      while (edits.written().substr(0, size).ends_with(space_)) size -= space_.size();
      if (size < edits.written().size()) edits.truncate(size);
    }
    if (prefix_ && suffix_) edits.replace(0, space_);
    edits.finish();
  }

 private:
  struct Prefix {
    std::size_t bytes;  // of the text
    std::string_view becomes;
  };

  Prefix first_of(std::string_view all, std::size_t at) const {
    const std::string_view rest = all.substr(at);
    if (has_symbols_) {
      if (const Trie::Match symbol = symbols_.longest(rest); symbol.bytes > 0) return {symbol.bytes, rest.substr(0, symbol.bytes)};
    }
    if (!map_.empty()) {
      if (const auto found = map_.longest(rest)) return {found->bytes, found->replacement};
    }
    std::size_t end = at;
    const bool broken = next_character(all, end) == no_character;
    return {end - at, broken && !keep_bytes_ ? replacement_character : rest.substr(0, end - at)};
  }

  void write(const Prefix& prefix, bool& after_space, TextEdits& edits) const {
    std::string_view becomes = prefix.becomes;
    while (after_space && becomes.starts_with(' ')) becomes.remove_prefix(1);
    if (becomes.empty()) return edits.replace(prefix.bytes, "");
    after_space = join_ && becomes.ends_with(' ');
    if (becomes.find(' ') == std::string_view::npos) return edits.replace(prefix.bytes, becomes);
    if (becomes == " " && prefix.bytes == 1) return edits.replace_byte(space_);
    std::string marked;
    for (const char byte : becomes) byte == ' ' ? marked += space_ : marked += byte;
    edits.replace(prefix.bytes, marked);
  }

  CharacterMap map_;
  bool prefix_, join_, suffix_;
  bool keep_bytes_;  // bytes that are no UTF-8 stay, for models that have tokens for bytes (llama.cpp)
  std::string_view space_;
  Trie symbols_;
  bool has_symbols_ = false;
};

}  // namespace

const NormalizerKind& normalizer_sentence_piece() {
  static constexpr std::array<std::string_view, 1> types{"SentencePiece"};
  static const NormalizerKind kind{types, "SentencePiece's own map, spaces and prefix", [](const StageSource& source) -> std::unique_ptr<Normalizer> {
                                     return std::make_unique<SentencePieceNormalizer>(source);
                                   }};
  return kind;
}

}  // namespace vitrine
