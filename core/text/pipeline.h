#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/piece_cache.h"
#include "core/text/stages.h"
#include "core/text/token_model.h"
#include "core/text/vocabulary.h"

namespace vitrine {

/// The one tokenizer: added tokens -> normalizers -> pre-tokenizers -> model -> template, and decoders back.
class Pipeline : public Tokenizer {
 public:
  /// @throws Error where a stage or the model is unknown or does not fit the vocabulary
  explicit Pipeline(Vocabulary vocabulary);

  std::string_view model() const override { return vocabulary_.model; }
  std::size_t vocabulary_size() const override { return vocabulary_.tokens.size() - vocabulary_.hidden; }
  const SpecialTokens& special() const override { return vocabulary_.special; }
  std::string_view chat_template() const override { return vocabulary_.chat_template; }
  bool is_special(TokenId id) const override;
  std::vector<Token> encode(std::string_view text, const EncodeOptions& options) const override;
  std::vector<Token> encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options) const override;
  std::string piece(TokenId id) const override;
  std::string decode(std::span<const TokenId> ids) const override;

 private:
  bool known(TokenId id) const { return id >= 0 && static_cast<std::size_t>(id) < vocabulary_size(); }
  std::vector<Token> encode_text(std::string_view text, const EncodeOptions& options) const;
  void encode_segment(AlignedText& text, const EncodeOptions& options, std::vector<Token>& tokens) const;
  void encode_pieces(AlignedText& text, TextRange range, std::vector<Token>& tokens) const;
  std::vector<Token> arrange(std::span<const TemplatePart> parts, std::vector<Token> first, std::vector<Token> second,
                             const EncodeOptions& options) const;

  Vocabulary vocabulary_;
  std::vector<std::unique_ptr<Normalizer>> normalizers_;
  std::vector<std::unique_ptr<PreTokenizer>> pre_tokenizers_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::unique_ptr<TokenModel> model_;
  AddedTokens raw_, normalized_;
  std::vector<bool> whole_;  // one a token: it is an added one, called by its name in every alphabet
  mutable PieceCaches caches_;
};

}  // namespace vitrine
