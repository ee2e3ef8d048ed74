#include "core/text/byte_alphabet.h"
#include "core/text/trainer.h"

namespace vitrine {
namespace {

Json pairs_of(const LearntMerges& learnt) {
  Json::Array list;
  for (const auto& [left, right] : learnt.merges) list.push_back(Json(Json::Array{left, right}));
  return Json(std::move(list));
}

/// GPT-2's kind: words over bytes, every byte in the alphabet.
Json train(std::string_view text, const TrainingOptions& options, Run& run) {
  const Json bytes = Json::object().set("type", "ByteLevel").set("add_prefix_space", false).set("trim_offsets", true).set("use_regex", true);
  // Counted as the characters that tokenizer.json spells, so that ties fall as they do there.
  const auto pieces = count_pieces(text, nullptr, Json(bytes).set("maps", true), run);
  const MergeTraining training{.special = {"<|endoftext|>"}, .alphabet = {byte_characters().begin(), byte_characters().end()}, .continuing_prefix = ""};
  const LearntMerges learnt = learn_merges(pieces, training, options, run);
  Json::Object vocab;
  for (std::size_t id = 0; id < learnt.tokens.size(); ++id) vocab.emplace_back(learnt.tokens[id], static_cast<std::uint64_t>(id));
  Json model = Json::object().set("type", "BPE").set("dropout", nullptr).set("unk_token", nullptr).set("continuing_subword_prefix", nullptr);
  model.set("end_of_word_suffix", nullptr).set("fuse_unk", false).set("byte_fallback", false).set("ignore_merges", false);
  model.set("vocab", Json(std::move(vocab))).set("merges", pairs_of(learnt));
  const Json stages = Json::object().set("pre_tokenizer", bytes).set("post_processor", bytes).set("decoder", bytes);
  return tokenizer_json(stages, std::move(model), training.special);
}

}  // namespace

const TokenizerTrainer& tokenizer_trainer_bpe() {
  static const TokenizerTrainer trainer{"bpe", "byte-level byte-pair encoding, as GPT-2", train};
  return trainer;
}

}  // namespace vitrine
