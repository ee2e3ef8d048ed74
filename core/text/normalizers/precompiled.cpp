#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include <array>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "core/text/character_map.h"
#include "core/text/characters.h"
#include "core/text/stages.h"

namespace vitrine {
namespace {

/// SentencePiece's map as Hugging Face's `tokenizers` applies it: by user-perceived characters (UAX 29), of which a short one
/// becomes what its shortest mapped beginning becomes. (SentencePiece itself takes the longest beginning of what remains:
/// the stage "SentencePiece".)
class Precompiled : public Normalizer {
 public:
  explicit Precompiled(const StageSource& source)
      : map_(bytes_of_base64(source.text("precompiled_charsmap", ""), source.where() + ": precompiled_charsmap"),
             source.where() + ": precompiled_charsmap") {}

  void apply(AlignedText& text) const override {
    if (map_.empty()) return;
    TextEdits edits(text);
    const std::string_view all = text.text();
    // Between two ASCII characters lies a border, except between CR and LF.
    const auto alone = [&](std::size_t at) {
      const auto ascii = [&](std::size_t i) { return i >= all.size() || static_cast<unsigned char>(all[i]) < 0x80; };
      return ascii(at) && ascii(at + 1) && !(all[at] == '\r' && at + 1 < all.size() && all[at + 1] == '\n');
    };
    for (std::size_t at = 0; at < all.size();) {
      if (alone(at)) {
        map_one(all.substr(at, 1), edits);
        ++at;
        continue;
      }
      std::size_t end = at + 1;
      while (end < all.size() && !alone(end)) ++end;
      map_run(all.substr(at, end - at), edits);
      at = end;
    }
    edits.finish();
  }

 private:
  void map_run(std::string_view run, TextEdits& edits) const {
    UErrorCode status = U_ZERO_ERROR;
    UText* bytes = utext_openUTF8(nullptr, run.data(), static_cast<int64_t>(run.size()), &status);
    UBreakIterator* borders = ubrk_open(UBRK_CHARACTER, "", nullptr, 0, &status);
    if (U_SUCCESS(status)) ubrk_setUText(borders, bytes, &status);
    VITRINE_CHECK(U_SUCCESS(status));
    std::size_t begin = 0;
    for (int32_t border = ubrk_next(borders); border != UBRK_DONE; border = ubrk_next(borders)) {
      map_cluster(run.substr(begin, static_cast<std::size_t>(border) - begin), edits);
      begin = static_cast<std::size_t>(border);
    }
    ubrk_close(borders);
    utext_close(bytes);
  }

  void map_cluster(std::string_view cluster, TextEdits& edits) const {
    constexpr std::size_t short_cluster = 6;  // bytes
    const auto whole = cluster.size() < short_cluster ? map_.shortest(cluster) : std::nullopt;
    if (whole) return edits.replace(cluster.size(), whole->replacement);
    for (std::size_t at = 0; at < cluster.size();) {
      const std::size_t begin = at;
      next_character(cluster, at);
      map_one(cluster.substr(begin, at - begin), edits);
    }
  }

  void map_one(std::string_view character, TextEdits& edits) const {
    const auto found = map_.shortest(character);
    found ? edits.replace(character.size(), found->replacement) : edits.keep(character.size());
  }

  CharacterMap map_;
};

}  // namespace

const NormalizerKind& normalizer_precompiled() {
  static constexpr std::array<std::string_view, 1> types{"Precompiled"};
  static const NormalizerKind kind{types, "SentencePiece's map of characters", [](const StageSource& source) -> std::unique_ptr<Normalizer> {
                                     return std::make_unique<Precompiled>(source);
                                   }};
  return kind;
}

}  // namespace vitrine
