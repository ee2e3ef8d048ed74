#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/text/aligned_text.h"

// A tokenizer is a line of stages, each told by a JSON object as in Hugging Face's tokenizer.json ({"type": "NFC"}), whatever
// file it came from: normalizers rewrite the text, pre-tokenizers cut it, a model turns the cuts into tokens, decoders
// turn tokens back into text. Each folder of stages is an extension point.

namespace vitrine {

/// What a stage is made from: its JSON object and where that stands, for errors.
class StageSource {
 public:
  StageSource(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}
  const Json& json() const { return json_; }
  const std::string& where() const { return where_; }
  std::string type() const;
  /// A member, or `otherwise` where there is none. @throws Error where it is of another kind
  bool flag(std::string_view key, bool otherwise) const;
  std::string text(std::string_view key, std::string_view otherwise) const;
  std::int64_t integer(std::string_view key, std::int64_t otherwise) const;
  std::string required_text(std::string_view key) const;
  /// What is written in the place of matches: short, so that no stage makes a long text of a short one. @throws Error
  std::string content() const;
  /// The expression of {"pattern": {"Regex": ...}} or of {"String": ...}.
  std::string pattern() const;
  [[noreturn]] void refuse(std::string_view key, std::string expected, std::string found) const;

 private:
  const Json& json_;
  std::string where_;
};

/// Rewrites a text. Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text) const = 0;
};

/// A text and the pieces into which it was cut so far, in order; between them lies what was removed.
struct CutText {
  AlignedText& text;
  std::vector<TextRange> pieces;
};

/// Cuts every piece further; may rewrite the text. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(CutText& cut) const = 0;
};

/// Turns what tokens are called into what they say; the texts are joined at the end. Immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// A kind of stage. Extension points: core/text/normalizers, pre_tokenizers and decoders.
template <typename Stage>
struct StageKind {
  std::span<const std::string_view> types;  ///< the values of "type" that it answers to
  std::string_view summary;
  std::unique_ptr<Stage> (*make)(const StageSource& source);
};
using NormalizerKind = StageKind<Normalizer>;
using PreTokenizerKind = StageKind<PreTokenizer>;
using DecoderKind = StageKind<Decoder>;
std::span<const NormalizerKind* const> all_normalizers();
std::span<const PreTokenizerKind* const> all_pre_tokenizers();
std::span<const DecoderKind* const> all_decoders();

/// The stages of a JSON object in their order, those of a "Sequence" one by one; none where it is null.
/// @throws Error naming the known types where one is unknown
std::vector<std::unique_ptr<Normalizer>> make_normalizers(const Json& json, const std::string& where);
std::vector<std::unique_ptr<PreTokenizer>> make_pre_tokenizers(const Json& json, const std::string& where);
std::vector<std::unique_ptr<Decoder>> make_decoders(const Json& json, const std::string& where);
/// The JSON objects of single stages in their order.
std::vector<Json> single_stages(const Json& json);

}  // namespace vitrine
