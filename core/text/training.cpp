#include "core/text/stages.h"
#include "core/text/trainer.h"

namespace vitrine {

std::map<std::string, std::uint64_t> count_pieces(std::string_view text, const Json& normalizer, const Json& pre_tokenizer, Run& run) {
  const auto normalizers = make_normalizers(normalizer, "training");
  const auto pre_tokenizers = make_pre_tokenizers(pre_tokenizer, "training");
  std::map<std::string, std::uint64_t> counts;
  constexpr std::size_t report_every = 1024;
  std::size_t lines = 0;
  for (std::size_t begin = 0; begin < text.size(); ++lines) {
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    AlignedText line(text.substr(begin, end - begin), begin);
    for (const auto& stage : normalizers) stage->apply(line);
    CutText cut{line, {}};
    if (!line.text().empty()) cut.pieces.push_back({0, line.text().size()});
    for (const auto& stage : pre_tokenizers) stage->apply(cut);
    for (const TextRange& piece : cut.pieces) ++counts[std::string(line.text().substr(piece.begin, piece.size()))];
    begin = end;
    if (lines % report_every == 0) run.step("words", begin, text.size());
  }
  return counts;
}

Json tokenizer_json(const Json& stages, Json model, std::span<const std::string> special) {
  Json added = Json::array();
  for (std::size_t id = 0; id < special.size(); ++id) {
    Json token = Json::object().set("id", static_cast<std::uint64_t>(id)).set("content", special[id]).set("single_word", false);
    added.push(token.set("lstrip", false).set("rstrip", false).set("normalized", false).set("special", true));
  }
  Json json = Json::object().set("version", "1.0").set("truncation", nullptr).set("padding", nullptr).set("added_tokens", added);
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) json.set(key, stages[key]);
  return json.set("model", std::move(model));
}

}  // namespace vitrine
