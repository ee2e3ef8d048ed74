#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <array>

#include "core/base/error.h"
#include "core/text/characters.h"
#include "core/text/stages.h"

// Normalization forms by ICU. The crate unicode-normalization-alignments, with which published vocabularies were learnt, knows
// Unicode 9: characters that came later pass as they are and nothing combines with them.

namespace vitrine {
namespace {

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(const icu::Normalizer2& form) : known_(icu::UnicodeString(u"[:age=9.0:]"), status_), form_(form, known_) {
    VITRINE_CHECK(U_SUCCESS(status_));
    known_.freeze();
  }

  void apply(AlignedText& text) const override {
    if (is_ascii(text.text())) return;
    TextEdits edits(text);
    // Bytes that are no UTF-8 stay; ICU would replace them.
    std::size_t begin = 0;
    const std::string_view all = text.text();
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t before = at;
      if (next_character(all, at) != no_character) continue;
      normalize(all.substr(begin, before - begin), edits);
      edits.keep(1);
      begin = at;
    }
    normalize(all.substr(begin), edits);
    edits.finish();
  }

 private:
  void normalize(std::string_view part, TextEdits& edits) const {
    // ICU counts bytes in 32 bits.
    if (part.size() > INT32_MAX / 8) throw Error({"text", "at most 256 MiB at once", std::to_string(part.size()) + " bytes", ""});
    std::string made;
    icu::StringByteSink<std::string> sink(&made);
    icu::Edits changes;
    UErrorCode status = U_ZERO_ERROR;
    form_.normalizeUTF8(0, icu::StringPiece(part.data(), static_cast<int32_t>(part.size())), sink, &changes, status);
    VITRINE_CHECK(U_SUCCESS(status));
    auto change = changes.getFineIterator();
    while (change.next(status)) {
      const auto before = static_cast<std::size_t>(change.oldLength());
      if (!change.hasChange()) {
        edits.keep(before);
        continue;
      }
      edits.replace(before, std::string_view(made).substr(static_cast<std::size_t>(change.destinationIndex()),
                                                          static_cast<std::size_t>(change.newLength())));
    }
  }

  UErrorCode status_ = U_ZERO_ERROR;
  icu::UnicodeSet known_;
  icu::FilteredNormalizer2 form_;
};

const icu::Normalizer2& form_named(const StageSource& source) {
  UErrorCode status = U_ZERO_ERROR;
  const std::string type = source.type();
  const icu::Normalizer2* form = type == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
                                 : type == "NFD"  ? icu::Normalizer2::getNFDInstance(status)
                                 : type == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                                                  : icu::Normalizer2::getNFKDInstance(status);
  VITRINE_CHECK(U_SUCCESS(status));
  return *form;
}

}  // namespace

const NormalizerKind& normalizer_unicode_forms() {
  static constexpr std::array<std::string_view, 4> types{"NFC", "NFD", "NFKC", "NFKD"};
  static const NormalizerKind kind{types, "Unicode's normalization forms", [](const StageSource& source) -> std::unique_ptr<Normalizer> {
                                     return std::make_unique<UnicodeForm>(form_named(source));
                                   }};
  return kind;
}

}  // namespace vitrine
