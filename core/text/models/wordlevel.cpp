#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/stages.h"
#include "core/text/token_model.h"
#include "core/text/vocabulary.h"

namespace vitrine {
namespace {

/// A word is a token or unknown.
class WordLevelModel : public TokenModel {
 public:
  explicit WordLevelModel(const Vocabulary& vocabulary) : where_(vocabulary.where) {
    const StageSource options(vocabulary.options, where_ + ": model");
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
      if (auto bytes = model_bytes(vocabulary, static_cast<TokenId>(i)); bytes && !bytes->empty()) ids_[std::move(*bytes)] = static_cast<TokenId>(i);
    }
    const auto tokens = ids_of_tokens(vocabulary);
    const auto found = tokens.find(options.text("unk_token", "<unk>"));
    unknown_ = found == tokens.end() ? -1 : found->second;
  }

  void encode(std::string_view piece, std::vector<ModelToken>& tokens) const override {
    const auto found = ids_.find(std::string(piece));
    const TokenId id = found == ids_.end() ? unknown_ : found->second;
    if (id < 0) throw Error({where_ + ": tokenizer", "an unknown token", "none for " + quoted(piece), ""});
    tokens.push_back({id, 0, static_cast<std::uint32_t>(piece.size())});
  }

 private:
  std::string where_;
  std::unordered_map<std::string, TokenId> ids_;
  TokenId unknown_ = -1;
};

}  // namespace

const TokenizerModel& tokenizer_model_wordlevel() {
  static const TokenizerModel model{"wordlevel", "whole words",
                                    [](const Vocabulary& vocabulary) -> std::unique_ptr<TokenModel> { return std::make_unique<WordLevelModel>(vocabulary); }};
  return model;
}

}  // namespace vitrine
