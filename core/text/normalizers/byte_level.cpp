#include <array>

#include "core/text/byte_alphabet.h"
#include "core/text/stages.h"

namespace vitrine {
namespace {

/// Every byte becomes its printable character.
class ByteLevel : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    TextEdits edits(text);
    for (const char byte : text.text()) {
      const std::string& character = byte_characters()[static_cast<unsigned char>(byte)];
      character.size() == 1 && character[0] == byte ? edits.keep(1) : edits.replace_byte(character);
    }
    edits.finish();
  }
};

}  // namespace

const NormalizerKind& normalizer_byte_level() {
  static constexpr std::array<std::string_view, 1> types{"ByteLevel"};
  static const NormalizerKind kind{types, "bytes as printable characters",
                                   [](const StageSource&) -> std::unique_ptr<Normalizer> { return std::make_unique<ByteLevel>(); }};
  return kind;
}

}  // namespace vitrine
