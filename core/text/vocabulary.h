#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/text/tokenizer.h"

namespace vitrine {

/// What a token stands for (GGUF's and SentencePiece's numbers).
enum class TokenKind : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// A token that stands for itself wherever it is written in a text.
struct AddedToken {
  std::string text;
  TokenId id = -1;
  bool special = false;      ///< recognised only where the caller wants special tokens
  bool normalized = false;   ///< looked for behind the normalizers, itself normalized
  bool single_word = false;  ///< only between characters that are no part of a word
  bool takes_left = false, takes_right = false;  ///< with the white space beside it
};

/// One entry of what a tokenizer makes of a text or of two: a token, or a text.
struct TemplatePart {
  int text = -1;       ///< 0 or 1: the first or the second text; -1: `token`
  TokenId token = -1;
  int type = 0;        ///< type id of what stands here
};

/// How a model reads its tokens and pieces.
enum class Alphabet {
  characters,  ///< UTF-8
  bytes,       ///< the bytes for which the printable characters of its tokens stand (core/text/byte_alphabet.h)
};

/// Everything a tokenizer is made of, whatever file it came from: the stages as data in the words of tokenizer.json, the
/// model's tokens apart. Every id was checked against the number of tokens.
struct Vocabulary {
  std::string where;                ///< names the file in errors
  std::string model;                ///< "bpe", "spm", "unigram", "wordpiece", "wordlevel", or one this program does not know
  std::vector<std::string> tokens;  ///< as the file spells them
  std::vector<TokenKind> kinds;     ///< one a token
  std::vector<double> scores;       ///< spm, unigram: one a token
  std::vector<std::pair<std::string, std::string>> merges;  ///< bpe: in the order in which they were learnt
  Json options = Json::object();    ///< the model's own, as tokenizer.json names them
  Json normalizer, pre_tokenizer, decoder;  ///< stages (core/text/stages.h), null where there is none
  Alphabet alphabet = Alphabet::characters;
  /// So many of the last tokens are pieces that the model finds and no one sees: they count as the unknown token.
  std::size_t hidden = 0;
  std::vector<AddedToken> added;
  std::vector<bool> outside;  ///< tokens that are added ones alone, which the model does not know; none behind its end
  std::vector<TemplatePart> single{{.text = 0}}, pair{{.text = 0}, {.text = 1, .type = 1}};
  SpecialTokens special;
  std::string chat_template;
};

/// Tokens that a model finds in texts, by what they are called; of equal ones the last.
std::unordered_map<std::string_view, TokenId> ids_of_tokens(const Vocabulary& vocabulary);
/// A token's bytes as the model reads them: itself, or what its printable characters stand for; none where it has others or is no
/// token of the model.
std::optional<std::string> model_bytes(const Vocabulary& vocabulary, TokenId id);
/// "<0x41>" -> 'A'
std::optional<unsigned char> byte_token(std::string_view token);
/// Byte -> its token "<0x41>", or -1.
std::vector<TokenId> byte_tokens(const Vocabulary& vocabulary);
/// Whether no token has U+2581 behind another character: then nothing joins what stands before a mark with what follows.
bool marks_only_begin_tokens(const Vocabulary& vocabulary);

/// Sets `alphabet` by the pre-tokenizer: bytes where "ByteLevel" is the last of its stages.
void choose_alphabet(Vocabulary& vocabulary);
/// Fills in the templates by the older lists of what stands before and behind a text.
void set_templates(Vocabulary& vocabulary, const std::vector<TokenId>& prefix, const std::vector<TokenId>& suffix);
/// Sets what `special` says of added BOS and EOS by the template.
void note_added_specials(Vocabulary& vocabulary);

/// @throws Error on a broken file; `model` is empty where the file has no tokenizer
Vocabulary read_gguf_vocabulary(const Json& metadata, const std::string& where);
/// What a SentencePiece model is called by, in the numbering and with the special tokens of a family of models.
struct FamilySource {
  std::string family;    ///< "t5", "albert", "xlnet", "xlm-roberta", "camembert", "mbart", "mbart50", "nllb", "m2m100", "marian", or another
  std::string language;  ///< of the source text, where the family marks it; empty: the family's first
  Json vocab;            ///< m2m100, marian: vocab.json
  std::size_t sentinels = 100;  ///< t5: <extra_id_0>, ...
};
/// @throws Error where the model does not fit the family
void arrange_family(Vocabulary& vocabulary, const FamilySource& source);

/// A Hugging Face folder: tokenizer.json, a SentencePiece model, vocab.txt, or vocab.json with merges.txt.
Vocabulary read_folder_vocabulary(const std::filesystem::path& folder);
/// tokenizer.json as parsed.
Vocabulary read_tokenizer_json(const Json& json, const std::string& where);
/// A SentencePiece model's bytes (protobuf).
Vocabulary read_sentence_piece(std::string_view bytes, const std::string& where);

/// The pre-tokenizer that GGUF names so, in tokenizer.json's words, and what comes with the name.
struct NamedPreTokenizer {
  Json pre_tokenizer;
  Json normalizer;             ///< null for most
  bool ignore_merges = false;  ///< a piece that is a token as a whole is not merged
  bool adds_bos = false;       ///< where the file does not say
  bool mask_takes_left = false;  ///< the mask token counts with the space before it
};
std::vector<std::string> pre_tokenizer_names();
/// @throws Error that names the nearest and the known ones
NamedPreTokenizer pre_tokenizer_named(const std::string& name, const std::string& where);

}  // namespace vitrine
