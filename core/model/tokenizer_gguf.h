#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/checkpoint/gguf_writer.h"
#include "core/text/vocabulary.h"

namespace vitrine {

/// Sets tokenizer.ggml.* and the chat template; a vocabulary without a model is written as "none", as llama.cpp expects it.
/// @param rows  of the token embedding: as many tokens are written
/// @returns for people: what GGUF's words do not say
/// @throws Error where GGUF has no name for what cuts texts into pieces
std::vector<std::string> set_gguf_tokenizer(const Vocabulary& vocabulary, std::size_t rows, GgufMetadata& metadata);

}  // namespace vitrine
