#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/model/export.h"
#include "core/model/translation.h"
#include "core/text/vocabulary.h"

// What stands in an exported file besides numbers.

namespace vitrine {

/// How the model is said in the other format. @throws Error naming the families that it can say
const Translation& translation_for(const Model& model, bool gguf);

/// Description and tokenizer as GGUF keys, with tensors of rotary factors. @returns what a reader would see
/// @param vocabulary  without a model where the tokenizer stays behind
Json translated_gguf(const Model& model, const Translation& translation, const Vocabulary& vocabulary, ExportPlan& plan);
/// config.json and the tokenizer's files. @returns the configuration
Json translated_config(const Model& model, const Translation& translation, const Vocabulary& vocabulary, ExportPlan& plan);

/// Completes the metadata once tensors are known: types, history, the number of blocks. @returns what a reader would see
Json finish_gguf(const Model& model, const ExportRequest& request, ExportPlan& plan);
Json finish_config(const Model& model, ExportPlan& plan);

/// What the model's file tells of, what was done since, and the change of format or type.
std::vector<Json> history_of(const Model& model, const ExportRequest& request, std::string_view format);
std::string history_text(const std::vector<Json>& operations);

/// @throws Error (usage) where a folder holds anything but the files of a model: it is not replaced then
void require_model_folder(const std::filesystem::path& folder);

}  // namespace vitrine
