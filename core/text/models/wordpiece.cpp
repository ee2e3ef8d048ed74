#include <memory>

#include "core/base/error.h"
#include "core/text/characters.h"
#include "core/text/stages.h"
#include "core/text/token_model.h"
#include "core/text/trie.h"
#include "core/text/vocabulary.h"

// WordPiece (Wu et al. 2016, as BERT published it): the longest token that begins each rest of a word; a word that cannot be covered
// is unknown as a whole.

namespace vitrine {
namespace {

class WordPieceModel : public TokenModel {
 public:
  explicit WordPieceModel(const Vocabulary& vocabulary) : bytes_(vocabulary.alphabet == Alphabet::bytes) {
    const StageSource options(vocabulary.options, vocabulary.where + ": model");
    prefix_ = options.text("continuing_subword_prefix", "##");
    longest_word_ = options.integer("max_input_chars_per_word", 100);
    const std::string unknown = options.text("unk_token", "[UNK]");
    std::vector<std::string> spelled;
    std::vector<TokenId> ids;
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
      auto bytes = model_bytes(vocabulary, static_cast<TokenId>(i));
      if (!bytes) continue;
      spelled.push_back(std::move(*bytes));
      ids.push_back(static_cast<TokenId>(i));
    }
    std::vector<std::pair<std::string_view, std::int32_t>> keys;
    for (std::size_t i = 0; i < spelled.size(); ++i) keys.emplace_back(spelled[i], ids[i]);
    trie_ = Trie(std::move(keys));
    continues_ = trie_.walk(prefix_);
    const auto tokens = ids_of_tokens(vocabulary);
    const auto found = tokens.find(unknown);
    if (found == tokens.end()) throw Error({vocabulary.where + ": tokenizer", "an unknown token (" + quoted(unknown) + ")", "none", ""});
    unknown_ = found->second;
  }

  void encode(std::string_view piece, std::vector<ModelToken>& tokens) const override {
    const std::size_t before = tokens.size();
    const std::size_t characters = bytes_ ? piece.size() : count_characters(piece);
    std::size_t at = static_cast<std::int64_t>(characters) > longest_word_ ? std::string_view::npos : 0;
    while (at < piece.size()) {
      const std::uint32_t node = at == 0 ? Trie::root : continues_;
      const Trie::Match match = node == Trie::nowhere ? Trie::Match{} : longest(piece, at, node);
      if (match.bytes == 0) break;
      tokens.push_back({match.value, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at + match.bytes)});
      at += match.bytes;
    }
    if (at == piece.size()) return;
    tokens.resize(before);
    tokens.push_back({unknown_, 0, static_cast<std::uint32_t>(piece.size())});
  }

 private:
  /// A token ends with a character.
  Trie::Match longest(std::string_view piece, std::size_t at, std::uint32_t node) const {
    Trie::Match best;
    for (std::size_t end = at; end < piece.size();) {
      node = trie_.next(node, piece[end++]);
      if (node == Trie::nowhere) break;
      const bool border = bytes_ || end == piece.size() || (static_cast<unsigned char>(piece[end]) & 0xc0) != 0x80;
      if (trie_.value(node) != Trie::no_value && border) best = {trie_.value(node), end - at};
    }
    return best;
  }

  bool bytes_;
  std::string prefix_;
  std::int64_t longest_word_ = 100;  // characters
  Trie trie_;
  std::uint32_t continues_ = Trie::nowhere;  // where the prefix leads
  TokenId unknown_ = -1;
};

}  // namespace

const TokenizerModel& tokenizer_model_wordpiece() {
  static const TokenizerModel model{"wordpiece", "the longest tokens of a word from the left (BERT, DistilBERT, Electra)",
                                    [](const Vocabulary& vocabulary) -> std::unique_ptr<TokenModel> { return std::make_unique<WordPieceModel>(vocabulary); }};
  return model;
}

}  // namespace vitrine
