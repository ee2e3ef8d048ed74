#include "core/text/trainer.h"

namespace vitrine {
namespace {

/// BERT's kind, lower case: learnt by merges as `tokenizers` does, kept as a list of pieces.
Json train(std::string_view text, const TrainingOptions& options, Run& run) {
  const Json normalizer =
      Json::object().set("type", "BertNormalizer").set("clean_text", true).set("handle_chinese_chars", true).set("strip_accents", nullptr).set("lowercase", true);
  const Json pre_tokenizer = Json::object().set("type", "BertPreTokenizer");
  const auto pieces = count_pieces(text, normalizer, pre_tokenizer, run);
  const MergeTraining training{.special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, .alphabet = {}, .continuing_prefix = "##"};
  const LearntMerges learnt = learn_merges(pieces, training, options, run);
  Json::Object vocab;
  for (std::size_t id = 0; id < learnt.tokens.size(); ++id) vocab.emplace_back(learnt.tokens[id], static_cast<std::uint64_t>(id));
  Json model = Json::object().set("type", "WordPiece").set("unk_token", "[UNK]").set("continuing_subword_prefix", "##");
  model.set("max_input_chars_per_word", 100).set("vocab", Json(std::move(vocab)));
  const auto special = [](const char* name, int type) {
    return Json::object().set("SpecialToken", Json::object().set("id", name).set("type_id", type));
  };
  const auto sequence = [](const char* name, int type) { return Json::object().set("Sequence", Json::object().set("id", name).set("type_id", type)); };
  const auto token = [](const char* name, int id) {
    return Json::object().set("id", name).set("ids", Json::array().push(id)).set("tokens", Json::array().push(name));
  };
  Json post = Json::object().set("type", "TemplateProcessing");
  post.set("single", Json::array().push(special("[CLS]", 0)).push(sequence("A", 0)).push(special("[SEP]", 0)));
  post.set("pair", Json::array().push(special("[CLS]", 0)).push(sequence("A", 0)).push(special("[SEP]", 0)).push(sequence("B", 1)).push(special("[SEP]", 1)));
  post.set("special_tokens", Json::object().set("[CLS]", token("[CLS]", 2)).set("[SEP]", token("[SEP]", 3)));
  Json stages = Json::object().set("normalizer", normalizer).set("pre_tokenizer", pre_tokenizer).set("post_processor", post);
  stages.set("decoder", Json::object().set("type", "WordPiece").set("prefix", "##").set("cleanup", true));
  return tokenizer_json(stages, std::move(model), training.special);
}

}  // namespace

const TokenizerTrainer& tokenizer_trainer_wordpiece() {
  static const TokenizerTrainer trainer{"wordpiece", "pieces of lower-case words, as BERT", train};
  return trainer;
}

}  // namespace vitrine
