#include "experiments/text_teller.h"

#include <algorithm>

namespace vitrine {

TextTeller::TextTeller(const Tokenizer* tokenizer, std::span<const TokenId> prompt, std::vector<std::string> stops, std::function<void(std::string_view)> say)
    : tokenizer_(tokenizer), say_(std::move(say)), stops_(std::move(stops)) {
  if (!tokenizer) return;
  stream_.emplace(*tokenizer);
  for (const TokenId id : prompt.last(std::min<std::size_t>(prompt.size(), 8))) stream_->push(id);
}

bool TextTeller::add(TokenId id) {
  tell(stops_.push(tokenizer_ ? stream_->push(id) : std::to_string(id) + " "));
  return !stops_.met();
}

void TextTeller::finish() {
  if (stream_) tell(stops_.push(stream_->finish()));
  tell(stops_.finish());
}

void TextTeller::tell(std::string_view words) {
  text_ += words;
  if (say_ && !words.empty()) say_(words);
}

Json json_of(const GeneratedText& generated, const std::string& text, const Tokenizer* tokenizer) {
  const auto of = [&](TokenId id, double log_probability) {
    return Json::object().set("id", id).set("text", tokenizer ? tokenizer->piece(id) : std::to_string(id)).set("logprob", log_probability);
  };
  Json tokens = Json::array();
  for (const GeneratedToken& token : generated.tokens) {
    Json row = of(token.id, token.log_probability);
    if (!token.likeliest.empty()) {
      Json top = Json::array();
      for (const LikelyChoice& choice : token.likeliest) top.push(of(choice.id, choice.log_probability));
      row.set("top", top);
    }
    tokens.push(row);
  }
  Json json = Json::object().set("text", text).set("tokens", tokens).set("ended", generated.ended);
  if (generated.score) json.set("score", *generated.score);
  if (!generated.drafts) return json;
  const DraftCounts& drafts = *generated.drafts;
  const auto number = [](std::size_t count) { return static_cast<std::uint64_t>(count); };
  json.set("drafts", Json::object().set("passes", number(drafts.passes)).set("drafted", number(drafts.drafted)).set("kept", number(drafts.kept))
                         .set("acceptance_rate", drafts.drafted > 0 ? Json(static_cast<double>(drafts.kept) / static_cast<double>(drafts.drafted)) : Json()));
  if (drafts.drafted == 0) json.set("reason", "nothing was drafted");
  return json;
}

}  // namespace vitrine
