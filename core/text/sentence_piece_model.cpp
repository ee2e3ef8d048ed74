#include <cmath>
#include <cstring>
#include <set>

#include "core/base/error.h"
#include "core/text/vocabulary.h"

// A SentencePiece model is one protobuf message (sentencepiece_model.proto). Of protobuf this needs the wire format alone: numbered
// fields of four kinds, nested by length.

namespace vitrine {
namespace {

/// One field of a message.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;   // varint and fixed kinds
  std::string_view bytes;    // length-delimited kind
};

/// Reads the fields of a message; every length is checked against what is left.
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  bool next(Field& field) {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0: field.value = varint(); return true;
      case 1: field.value = fixed<std::uint64_t>(); return true;
      case 2: field.bytes = take(varint()); return true;
      case 5: field.value = fixed<std::uint32_t>(); return true;
      default: throw Error({where_, "a SentencePiece model", "a field of kind " + std::to_string(key & 7), ""});
    }
  }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) throw Error({where_, std::to_string(size) + " bytes of a field", std::to_string(rest_.size()), "the file is cut short or no SentencePiece model"});
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw Error({where_, "a number of at most ten bytes", "more", "the file is no SentencePiece model"});
  }

  template <typename T>
  std::uint64_t fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view rest_;
  const std::string& where_;
};

class SentencePieceModel {
 public:
  SentencePieceModel(std::string_view bytes, const std::string& where) : bytes_(bytes) { result_.where = where; }

  Vocabulary read() {
    Message message(bytes_, result_.where);
    for (Field field; message.next(field);) {
      if (field.number == 1) read_piece(field.bytes);
      if (field.number == 2) read_trainer(field.bytes);
      if (field.number == 3) read_normalizer(field.bytes);
    }
    if (result_.tokens.empty()) throw Error({result_.where, "a SentencePiece model", "no pieces", ""});
    if (!result_.special.unk) throw Error({result_.where, "an unknown piece", "none", ""});
    describe();
    return std::move(result_);
  }

 private:
  void read_piece(std::string_view bytes) {
    Message message(bytes, result_.where);
    std::string_view text;
    float score = 0.0f;
    std::uint64_t kind = 1;
    for (Field field; message.next(field);) {
      if (field.number == 1) text = field.bytes;
      if (field.number == 2) {
        const auto bits = static_cast<std::uint32_t>(field.value);
        std::memcpy(&score, &bits, sizeof score);
      }
      if (field.number == 3) kind = field.value;
    }
    const std::string piece = result_.where + ": piece " + std::to_string(result_.tokens.size());
    if (text.empty()) throw Error({piece, "a text", "none", ""});
    if (kind < 1 || kind > 6) throw Error({piece, "a type of 1 to 6", std::to_string(kind), ""});
    if (!std::isfinite(score)) throw Error({piece, "a finite score", "none", ""});
    const auto id = static_cast<TokenId>(result_.tokens.size());
    result_.tokens.emplace_back(text);
    result_.kinds.push_back(static_cast<TokenKind>(kind));
    result_.scores.push_back(score);
    if (result_.kinds.back() == TokenKind::unknown) result_.special.unk = id;
    if (result_.kinds.back() == TokenKind::control) result_.added.push_back({.text = std::string(text), .id = id, .special = true});
  }

  void read_trainer(std::string_view bytes) {
    Message message(bytes, result_.where);
    for (Field field; message.next(field);) {
      if (field.number == 3) kind_ = field.value;
      if (field.number == 24) suffix_ = field.value != 0;
      if (field.number == 35) fallback_ = field.value != 0;
      if (field.number == 41) bos_ = static_cast<std::int32_t>(field.value);
      if (field.number == 42) eos_ = static_cast<std::int32_t>(field.value);
      if (field.number == 43) pad_ = static_cast<std::int32_t>(field.value);
    }
  }

  void read_normalizer(std::string_view bytes) {
    Message message(bytes, result_.where);
    for (Field field; message.next(field);) {
      if (field.number == 2) charsmap_ = field.bytes;
      if (field.number == 3) prefix_ = field.value != 0;
      if (field.number == 4) join_ = field.value != 0;
      if (field.number == 5) escape_ = field.value != 0;
    }
  }

  void describe() {
    if (kind_ != 1 && kind_ != 2) {
      throw Error({result_.where + ": model type", "unigram (1) or BPE (2)", std::to_string(kind_), ""});
    }
    result_.model = kind_ == 1 ? "unigram" : "spm";
    result_.options.set("style", "sentencepiece").set("byte_fallback", fallback_);
    Json symbols = Json::array();
    for (std::size_t i = 0; i < result_.tokens.size(); ++i) {
      if (result_.kinds[i] == TokenKind::user_defined) symbols.push(result_.tokens[i]);
    }
    result_.normalizer = Json::object().set("type", "SentencePiece").set("charsmap", charsmap_).set("user_defined", symbols);
    result_.normalizer.set("add_dummy_prefix", prefix_).set("remove_extra_whitespaces", join_).set("escape_whitespaces", escape_);
    result_.normalizer.set("treat_whitespace_as_suffix", suffix_);
    const Json marks = Json::object().set("type", "SentencePiece").set("add_dummy_prefix", prefix_).set("remove_extra_whitespaces", join_);
    result_.decoder = Json::object().set("type", "Sequence").set(
        "decoders", Json::array().push(marks).push(Json::object().set("type", "ByteFallback")));
    const auto id_of = [&](std::int64_t id, TokenKind kind) {
      const bool known = id >= 0 && id < static_cast<std::int64_t>(result_.tokens.size()) && result_.kinds[static_cast<std::size_t>(id)] == kind;
      return known ? std::optional(static_cast<TokenId>(id)) : std::nullopt;
    };
    result_.special.bos = id_of(bos_, TokenKind::control);
    result_.special.eos = id_of(eos_, TokenKind::control);
    result_.special.pad = id_of(pad_, TokenKind::control);
  }

  std::string_view bytes_;
  Vocabulary result_;
  std::uint64_t kind_ = 1;
  std::int64_t bos_ = 1, eos_ = 2, pad_ = -1;
  bool prefix_ = true, join_ = true, escape_ = true, suffix_ = false, fallback_ = false;
  std::string_view charsmap_;
};

}  // namespace

Vocabulary read_sentence_piece(std::string_view bytes, const std::string& where) { return SentencePieceModel(bytes, where).read(); }

}  // namespace vitrine
