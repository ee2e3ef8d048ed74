#include <algorithm>
#include <limits>
#include <memory>

#include "core/base/error.h"
#include "core/text/characters.h"
#include "core/text/stages.h"
#include "core/text/token_model.h"
#include "core/text/trie.h"
#include "core/text/vocabulary.h"

// The unigram language model (Kudo 2018): of all ways to write a piece in tokens, the likeliest, by Viterbi's algorithm over bytes.
// Scores add up in the number type of the published implementation: which of two equally likely ways wins hangs on its
// rounding. SentencePiece adds floats over a whole text, `tokenizers` and llama.cpp doubles.

namespace vitrine {
namespace {

constexpr double unknown_penalty = 10.0;

class UnigramModel : public TokenModel {
 public:
  explicit UnigramModel(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    const StageSource options(vocabulary.options, vocabulary.where + ": model");
    if (vocabulary.scores.size() != vocabulary.tokens.size()) options.refuse("scores", "one a token", std::to_string(vocabulary.scores.size()));
    const std::string style = options.text("style", "tokenizers");
    if (style != "tokenizers" && style != "sentencepiece" && style != "llama.cpp") {
      options.refuse("style", "tokenizers, sentencepiece or llama.cpp", quoted(style));
    }
    sentence_piece_ = style == "sentencepiece";
    take_scores(style);
    const std::int64_t unknown = options.integer("unk_id", vocabulary.special.unk.value_or(-1));
    if (unknown >= static_cast<std::int64_t>(vocabulary.tokens.size())) options.refuse("unk_id", "a token", std::to_string(unknown));
    unknown_ = static_cast<TokenId>(std::max<std::int64_t>(unknown, -1));
    if (options.flag("byte_fallback", false)) fallback_ = byte_tokens(vocabulary);
  }

  void encode(std::string_view piece, std::vector<ModelToken>& tokens) const override {
    sentence_piece_ ? best_path<float>(piece, tokens) : best_path<double>(piece, tokens);
  }

 private:
  /// A token's score in two parts, as SentencePiece adds a user-defined one: what is rounded to float only with the sum.
  void take_scores(const std::string& style) {
    std::vector<std::pair<std::string_view, std::int32_t>> keys;
    double least = std::numeric_limits<double>::infinity();
    double most = std::numeric_limits<float>::min();  // where SentencePiece begins: user-defined symbols score -0.1
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const bool counts = style == "tokenizers" || vocabulary_.kinds[i] == TokenKind::normal;
      if (counts) {
        least = std::min(least, vocabulary_.scores[i]);
        most = std::max(most, vocabulary_.scores[i]);
      }
    }
    scores_.resize(vocabulary_.tokens.size());
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      const TokenKind kind = vocabulary_.kinds[i];
      const bool found = style == "tokenizers" || kind == TokenKind::normal || kind == TokenKind::user_defined ||
                         (kind == TokenKind::unused && style == "llama.cpp");
      if (auto bytes = model_bytes(vocabulary_, static_cast<TokenId>(i)); bytes && found) spelled_.emplace_back(std::move(*bytes), i);
      scores_[i] = vocabulary_.scores[i];
      if (kind == TokenKind::user_defined && style == "llama.cpp") scores_[i] = 0.0;
      if (kind == TokenKind::user_defined && style == "sentencepiece") {
        scores_[i] = static_cast<float>(vocabulary_.tokens[i].size()) * static_cast<float>(most) - 0.1;
      }
    }
    for (const auto& [text, id] : spelled_) keys.emplace_back(text, static_cast<std::int32_t>(id));
    trie_ = Trie(std::move(keys));
    if (least > std::numeric_limits<float>::max()) least = 0.0;
    unknown_score_ = sentence_piece_ ? static_cast<float>(least) - static_cast<float>(unknown_penalty) : least - unknown_penalty;
  }

  template <typename Sum>
  struct Step {
    Sum score = 0;
    std::int32_t begin = -1;
    TokenId id = -1;
  };

  template <typename Sum>
  void best_path(std::string_view piece, std::vector<ModelToken>& tokens) const {
    // More than a megabyte without a border would need that many bytes times twelve, and positions in 32 bits.
    if (piece.size() > std::numeric_limits<std::int32_t>::max() / 2) throw Error({"text", "at most 1 GiB between two borders", "more", ""});
    thread_local std::vector<Step<Sum>> steps;
    steps.assign(piece.size() + 1, {});
    const bool bytes = vocabulary_.alphabet == Alphabet::bytes;
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t character = bytes ? 1 : character_size(piece, at);
      const Sum before = steps[at].score;
      const auto offer = [&](std::size_t end, TokenId id, double sum) {
        Step<Sum>& step = steps[end];
        if (step.begin < 0 || sum > static_cast<double>(step.score)) step = {static_cast<Sum>(sum), static_cast<std::int32_t>(at), id};
      };
      bool whole_character = false;
      std::uint32_t node = Trie::root;
      for (std::size_t end = at; end < piece.size();) {
        node = trie_.next(node, piece[end++]);
        if (node == Trie::nowhere) break;
        const TokenId id = trie_.value(node);
        if (id < 0) continue;
        offer(end, id, static_cast<double>(static_cast<Sum>(scores_[static_cast<std::size_t>(id)] + static_cast<double>(before))));
        whole_character = whole_character || end - at == character;
      }
      if (!whole_character) offer(at + character, unknown_, static_cast<double>(static_cast<Sum>(unknown_score_ + static_cast<double>(before))));
      at += character;
    }
    collect(piece, steps, tokens);
  }

  template <typename Sum>
  void collect(std::string_view piece, const std::vector<Step<Sum>>& steps, std::vector<ModelToken>& tokens) const {
    thread_local std::vector<ModelToken> path;  // from the end; neighbouring unknowns are one
    path.clear();
    for (auto end = static_cast<std::uint32_t>(piece.size()); end > 0;) {
      const Step<Sum>& step = steps[end];
      const auto begin = static_cast<std::uint32_t>(step.begin);
      const bool joins = step.id == unknown_ && !path.empty() && path.back().id == unknown_;
      joins ? void(path.back().begin = begin) : path.push_back({step.id, begin, end});
      end = begin;
    }
    for (auto part = path.rbegin(); part != path.rend(); ++part) {
      part->id == unknown_ ? add_unknown(piece, *part, tokens) : tokens.push_back(*part);
    }
  }

  void add_unknown(std::string_view piece, const ModelToken& part, std::vector<ModelToken>& tokens) const {
    bool all = !fallback_.empty();
    for (std::uint32_t at = part.begin; at < part.end && all; ++at) all = fallback_[static_cast<unsigned char>(piece[at])] >= 0;
    if (all) {
      for (std::uint32_t at = part.begin; at < part.end; ++at) tokens.push_back({fallback_[static_cast<unsigned char>(piece[at])], at, at + 1});
      return;
    }
    if (unknown_ < 0) {
      throw Error({vocabulary_.where + ": tokenizer", "an unknown token", "none for " + quoted(piece.substr(part.begin, part.end - part.begin)), ""});
    }
    tokens.push_back(part);
  }

  const Vocabulary& vocabulary_;
  bool sentence_piece_ = false;
  std::vector<std::pair<std::string, std::size_t>> spelled_;  // what is found, with its token
  Trie trie_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  TokenId unknown_ = -1;
  std::vector<TokenId> fallback_;
};

}  // namespace

const TokenizerModel& tokenizer_model_unigram() {
  static const TokenizerModel model{"unigram", "the likeliest pieces by a unigram model (T5, ALBERT, XLNet, XLM-R, mBART, Marian)",
                                    [](const Vocabulary& vocabulary) -> std::unique_ptr<TokenModel> { return std::make_unique<UnigramModel>(vocabulary); }};
  return model;
}

}  // namespace vitrine
