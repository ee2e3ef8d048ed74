#pragma once

#include "core/base/json.h"
#include "core/text/vocabulary.h"

// The way back: a vocabulary, wherever it was read, as the files of Hugging Face's `tokenizers`.

namespace vitrine {

/// tokenizer.json. SentencePiece's byte-pair encoding becomes merges in the order of its scores, its normalizer the stages that
/// `tokenizers` has for it.
/// @throws Error where a model is none that tokenizer.json has
Json tokenizer_json(const Vocabulary& vocabulary);

/// A stage with every setting written out, as `tokenizers` wants it, and none that is this program's own.
Json completed_stage(const Json& stage);

/// tokenizer_config.json: the special tokens by what they are for, and the chat template.
/// @param context  the longest text in tokens, 0 = no limit
Json tokenizer_config(const Vocabulary& vocabulary, std::size_t context);

}  // namespace vitrine
