#include "core/text/pipeline.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/text/byte_alphabet.h"
#include "core/text/names.h"

namespace vitrine {
namespace {

constexpr std::string_view mark = "\u2581";

std::unique_ptr<TokenModel> load_model(const Vocabulary& vocabulary) {
  std::vector<std::string> known;
  for (const TokenizerModel* model : all_tokenizer_models()) {
    if (model->name == vocabulary.model) return model->load(vocabulary);
    known.emplace_back(model->name);
  }
  throw Error({vocabulary.where + ": tokenizer", one_of(vocabulary.model, known), quoted(vocabulary.model), ""});
}

/// Cuts every piece before its runs of marks.
void cut_by_marks(CutText& cut) {
  std::vector<TextRange> pieces;
  pieces.reserve(cut.text.text().size() / 4);
  for (const TextRange& piece : cut.pieces) {
    const std::string_view text = cut.text.text().substr(0, piece.end);
    std::size_t begin = piece.begin, run_end = begin;
    for (std::size_t at; (at = text.find(mark, run_end)) != std::string_view::npos; run_end = at + mark.size()) {
      if (at == run_end && at != begin && text.substr(begin, at - begin).ends_with(mark)) continue;
      if (at > begin) pieces.push_back({begin, at});
      begin = at;
    }
    if (begin < piece.end) pieces.push_back({begin, piece.end});
  }
  cut.pieces = std::move(pieces);
}

}  // namespace

Pipeline::Pipeline(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), normalizers_(make_normalizers(vocabulary_.normalizer, vocabulary_.where)),
      pre_tokenizers_(make_pre_tokenizers(vocabulary_.pre_tokenizer, vocabulary_.where)),
      decoders_(make_decoders(vocabulary_.decoder, vocabulary_.where)), model_(load_model(vocabulary_)),
      raw_(vocabulary_, AddedTokens::Where::raw_text, normalizers_), normalized_(vocabulary_, AddedTokens::Where::normalized_text, normalizers_),
      whole_(vocabulary_.tokens.size(), false) {
  for (const AddedToken& token : vocabulary_.added) whole_[static_cast<std::size_t>(token.id)] = true;
}

bool Pipeline::is_special(TokenId id) const { return known(id) && vocabulary_.kinds[static_cast<std::size_t>(id)] == TokenKind::control; }

std::vector<Token> Pipeline::encode(std::string_view text, const EncodeOptions& options) const {
  return arrange(vocabulary_.single, encode_text(text, options), {}, options);
}

std::vector<Token> Pipeline::encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options) const {
  std::vector<Token> behind = encode_text(second, options);
  for (Token& token : behind) token.text = 1;
  return arrange(vocabulary_.pair, encode_text(first, options), std::move(behind), options);
}

std::vector<Token> Pipeline::encode_text(std::string_view text, const EncodeOptions& options) const {
  std::vector<Token> tokens;
  tokens.reserve(text.size() / 3);
  std::vector<AddedTokens::Piece> pieces;
  raw_.split(text, options, pieces);
  for (const AddedTokens::Piece& piece : pieces) {
    if (piece.token >= 0) {
      tokens.push_back({piece.token, piece.range.begin, piece.range.end});
      continue;
    }
    AlignedText segment(text.substr(piece.range.begin, piece.range.size()), piece.range.begin);
    encode_segment(segment, options, tokens);
  }
  return tokens;
}

void Pipeline::encode_segment(AlignedText& text, const EncodeOptions& options, std::vector<Token>& tokens) const {
  for (const auto& normalizer : normalizers_) normalizer->apply(text);
  if (normalized_.empty()) return encode_pieces(text, {0, text.text().size()}, tokens);
  std::vector<AddedTokens::Piece> pieces;
  normalized_.split(text.text(), options, pieces);
  for (const AddedTokens::Piece& piece : pieces) {
    if (piece.token >= 0) {
      const TextRange origin = text.origin(piece.range);
      tokens.push_back({piece.token, origin.begin, origin.end});
    } else if (pieces.size() == 1) {
      encode_pieces(text, piece.range, tokens);
    } else {
      AlignedText part(text, piece.range);
      encode_pieces(part, {0, piece.range.size()}, tokens);
    }
  }
}

void Pipeline::encode_pieces(AlignedText& text, TextRange range, std::vector<Token>& tokens) const {
  CutText cut{text, {}};
  if (range.size() > 0) cut.pieces.push_back(range);
  for (const auto& pre_tokenizer : pre_tokenizers_) pre_tokenizer->apply(cut);
  if (model_->is_cut_by_marks()) cut_by_marks(cut);
  PieceCaches::Lease cache(caches_);
  const std::string_view all = text.text();
  std::vector<ModelToken> made;
  for (const TextRange& piece : cut.pieces) {
    made.clear();
    (*cache).encode(*model_, all.substr(piece.begin, piece.size()), made);
    for (ModelToken& token : made) {
      if (static_cast<std::size_t>(token.id) >= vocabulary_size()) token.id = *vocabulary_.special.unk;
      const TextRange origin = text.origin({piece.begin + token.begin, piece.begin + token.end});
      tokens.push_back({token.id, origin.begin, origin.end});
    }
  }
}

std::vector<Token> Pipeline::arrange(std::span<const TemplatePart> parts, std::vector<Token> first, std::vector<Token> second,
                                     const EncodeOptions& options) const {
  std::size_t added = 0;
  for (const TemplatePart& part : parts) added += options.add_special && part.text < 0 ? 1 : 0;
  if (options.max_tokens > 0) {
    if (options.max_tokens < added) {
      throw Error({"tokens at most", "at least the " + std::to_string(added) + " that the tokenizer adds", std::to_string(options.max_tokens), ""});
    }
    const std::size_t room = options.max_tokens - added;
    std::vector<Token>&longer = first.size() > second.size() ? first : second, &shorter = first.size() > second.size() ? second : first;
    if (first.size() + second.size() > room) {
      // The shorter one gives only where both are longer than half; the longer of the halves is the longer text's.
      if (shorter.size() > room / 2) shorter.resize(room / 2);
      longer.resize(room - shorter.size());
    }
  }
  if (added == 0 && second.empty() && parts.size() == 1 && parts[0].type == 0) return first;
  std::vector<Token> tokens;
  tokens.reserve(first.size() + second.size() + added);
  std::size_t place = 0;  // where the last text ended
  int last = 0;
  for (const TemplatePart& part : parts) {
    if (part.text < 0) {
      if (options.add_special) tokens.push_back({part.token, place, place, part.type, last});
      continue;
    }
    last = part.text;
    for (Token token : part.text == 0 ? first : second) {
      token.type = part.type;
      tokens.push_back(token);
      place = token.end;
    }
  }
  return tokens;
}

std::string Pipeline::piece(TokenId id) const {
  if (!known(id)) return "";
  const std::string& token = vocabulary_.tokens[static_cast<std::size_t>(id)];
  if (whole_[static_cast<std::size_t>(id)]) return token;
  if (vocabulary_.alphabet == Alphabet::bytes) return bytes_of_alphabet(token).value_or(token);
  if (const auto byte = byte_token(token); byte && vocabulary_.kinds[static_cast<std::size_t>(id)] == TokenKind::byte) {
    return std::string(1, static_cast<char>(*byte));
  }
  std::string text;
  for (std::size_t at = 0; at < token.size();) {
    const bool marked = std::string_view(token).substr(at).starts_with(mark);
    marked ? text += ' ' : text += token[at];
    at += marked ? mark.size() : 1;
  }
  return text;
}

std::string Pipeline::decode(std::span<const TokenId> ids) const {
  constexpr std::size_t most_of_one_byte = 64, always_allowed = 1 << 16;
  const auto bytes_of = [](const std::vector<std::string>& texts) {
    return std::accumulate(texts.begin(), texts.end(), std::size_t{0}, [](std::size_t sum, const std::string& text) { return sum + text.size(); });
  };
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    if (known(id)) tokens.push_back(vocabulary_.tokens[static_cast<std::size_t>(id)]);
  }
  const std::size_t most = bytes_of(tokens) * most_of_one_byte + always_allowed;
  for (const auto& decoder : decoders_) {
    decoder->apply(tokens);
    if (bytes_of(tokens) > most) {
      throw Error({vocabulary_.where + ": decoder", "at most " + std::to_string(most_of_one_byte) + " bytes for one of the tokens", "more", ""});
    }
  }
  std::string text;
  for (const std::string& token : tokens) {
    if (decoders_.empty() && !text.empty()) text += ' ';  // without a decoder tokens stand apart
    text += token;
  }
  return text;
}

}  // namespace vitrine
