#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/checkpoint/gguf_writer.h"
#include "core/model/model.h"

namespace vitrine {

/// What one kind of config.json and one general.architecture of GGUF call the same family, and what of it the common keys
/// (core/model/gguf_keys.h, config_keys.h) do not say. Extension point: core/model/translations/<model_type>.cpp.
struct Translation {
  std::string_view architecture;  ///< name of the description that it writes (core/model/architectures)
  std::string_view gguf;          ///< general.architecture
  std::string_view model_type;    ///< of config.json
  std::string_view model_class;   ///< of transformers: "LlamaForCausalLM"
  std::string_view component = "model";  ///< what Hugging Face's names begin with where the class has a head; empty: nothing
  /// Whether this entry is the model's, where several have its architecture or its GGUF name; null: always.
  bool (*fits)(const Model& model) = nullptr;
  /// What a GGUF says besides; null: nothing.
  void (*complete_gguf)(const Model& model, GgufMetadata& metadata) = nullptr;
  /// config.json without what is common to all (model_type, vocabulary, special tokens, types, ties); null: a GGUF never becomes this.
  Json (*config)(const Model& model) = nullptr;
  /// Tensors whose presence decides how others are called in the target; null: none.
  std::vector<std::string> (*hints)(const Model& model, bool gguf) = nullptr;
  /// Whether the file must have a head of its own also where it is the embedding; null: never.
  bool (*needs_head)(const Model& model) = nullptr;
  /// What of the model llama.cpp does not read or computes otherwise, a line each; null: nothing known.
  std::vector<std::string> (*limits)(const Model& model) = nullptr;
};

std::span<const Translation* const> all_translations();

}  // namespace vitrine
