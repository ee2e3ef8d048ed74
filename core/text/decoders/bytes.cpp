#include <array>

#include "core/text/byte_alphabet.h"
#include "core/text/stages.h"
#include "core/text/vocabulary.h"

namespace vitrine {
namespace {

/// Printable characters back to the bytes that they stand for; a text with another character stays.
class ByteLevel : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      if (auto bytes = bytes_of_alphabet(token)) token = std::move(*bytes);
    }
  }
};

/// "<0x41>" to its byte. Bytes that are no UTF-8 together stay bytes.
class ByteFallback : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      if (const auto byte = byte_token(token)) token.assign(1, static_cast<char>(*byte));
    }
  }
};

}  // namespace

const DecoderKind& decoder_bytes() {
  static constexpr std::array<std::string_view, 2> types{"ByteLevel", "ByteFallback"};
  static const DecoderKind kind{types, "bytes from printable characters or from byte tokens", [](const StageSource& source) -> std::unique_ptr<Decoder> {
                                  if (source.type() == "ByteLevel") return std::make_unique<ByteLevel>();
                                  return std::make_unique<ByteFallback>();
                                }};
  return kind;
}

}  // namespace vitrine
