#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace vitrine {

using TokenId = std::int32_t;

/// A token and the bytes [begin, end) of the text it stands for; a token that the text does not hold (BOS, [CLS])
/// has begin == end.
struct Token {
  TokenId id = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  int type = 0;  ///< type id (BERT's segment)
  int text = 0;  ///< of two texts, the one to which begin and end belong
};

struct EncodeOptions {
  bool add_special = true;    ///< BOS/EOS or [CLS]/[SEP], as the tokenizer declares
  bool parse_special = true;  ///< recognise special tokens written in the text
  /// At most so many tokens with those added: the longer of two texts loses its end first. 0: all.
  std::size_t max_tokens = 0;
};

struct SpecialTokens {
  std::optional<TokenId> bos, eos, unk, sep, pad, cls, mask, end_of_turn;
  bool adds_bos = false;  ///< what the tokenizer adds by itself
  bool adds_eos = false;
};

/// Text to ids and back. Immutable after loading, so any number of threads may use one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string_view model() const = 0;  ///< "bpe", "spm", "unigram", "wordpiece", "wordlevel"
  virtual std::size_t vocabulary_size() const = 0;
  virtual std::vector<Token> encode(std::string_view text, const EncodeOptions& options) const = 0;
  /// Two texts as the tokenizer declares (BERT: [CLS] first [SEP] second [SEP], type ids 0 and 1).
  virtual std::vector<Token> encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options) const = 0;
  /// The bytes one token adds to a text: "▁the" is " the", byte tokens are one byte, special tokens their name.
  virtual std::string piece(TokenId id) const = 0;
  /// Special (control) tokens are not printed by generate.
  virtual bool is_special(TokenId id) const = 0;
  virtual const SpecialTokens& special() const = 0;
  /// Bytes of a sequence of tokens (joins pieces and undoes what encode adds at the front, as a SentencePiece prefix).
  virtual std::string decode(std::span<const TokenId> ids) const = 0;
  /// The Jinja chat template of the file, empty where it has none.
  virtual std::string_view chat_template() const = 0;
};

/// The tokens that end a text or a turn, each once.
std::vector<TokenId> text_ends(const Tokenizer& tokenizer);

/// Text from tokens that come one by one: what it gives, joined, is what decode gives of all; never half a character.
class TokenStream {
 public:
  explicit TokenStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  /// What can be said now: nothing while the bytes of a character are not complete.
  std::string push(TokenId id);
  /// The bytes that waited for the rest of a character.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::vector<TokenId> window_;  // the last tokens: what they say depends on those before
  std::size_t said_ = 0;         // of the window's text
  std::string waiting_;
};

/// What a tokenizer is made from: a GGUF's metadata, or a folder with tokenizer.json, a SentencePiece model, vocab.txt or
/// vocab.json.
struct TokenizerSource {
  std::string where;                ///< names the file in errors
  const Json* gguf = nullptr;       ///< a GGUF's key-value pairs, or null
  std::filesystem::path folder;     ///< a Hugging Face folder, or empty
};

struct Vocabulary;  // core/text/vocabulary.h
class TokenModel;   // core/text/token_model.h

/// A kind of model. Extension point: core/text/models/<name>.cpp; the name is Vocabulary::model.
struct TokenizerModel {
  std::string_view name;
  std::string_view summary;
  /// The vocabulary outlives the model. @throws Error where the vocabulary does not fit
  std::unique_ptr<TokenModel> (*load)(const Vocabulary& vocabulary);
};

std::span<const TokenizerModel* const> all_tokenizer_models();

/// Null where the source carries no tokenizer at all; Error where it carries one that is broken or unknown.
std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerSource& source);

struct ChatMessage {
  std::string role;
  std::string content;
};
/// ChatML ("<|im_start|>role\ncontent<|im_end|>\n"), with the opening of the assistant's turn at the end.
/// Error where the tokenizer's chat template is not ChatML.
std::string chat_prompt(const Tokenizer& tokenizer, std::span<const ChatMessage> messages);

}  // namespace vitrine
