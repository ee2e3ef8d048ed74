#pragma once

#include <filesystem>
#include <memory>

#include "core/checkpoint/checkpoint.h"
#include "core/text/tokenizer.h"
#include "core/text/vocabulary.h"

namespace vitrine {

/// The tokenizer beside or within a checkpoint; null where there is none. @throws Error where it is broken
std::unique_ptr<Tokenizer> tokenizer_of(const Checkpoint& checkpoint);

/// What it is made of, `model` empty where there is none. @throws Error where it is broken
Vocabulary vocabulary_of(const Checkpoint& checkpoint);

/// The same without weights: a folder needs only the tokenizer's files.
/// @throws Error where there is no tokenizer
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& path);

}  // namespace vitrine
