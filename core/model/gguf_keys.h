#pragma once

#include <string_view>
#include <vector>

#include "core/checkpoint/gguf_writer.h"
#include "core/model/model.h"

// A description in GGUF's keys (ggml's docs/gguf.md), which all architectures share.

namespace vitrine {

/// Sizes, heads, norms, windows, caps, experts and rope of `model.spec` under "<architecture>."; with tensors of rotary factors.
std::vector<TensorToWrite> set_gguf_keys(const Model& model, std::string_view architecture, GgufMetadata& metadata);

/// What BERT's encoders say besides: mask, pooling, labels.
void complete_bert_gguf(const Model& model, GgufMetadata& metadata);

/// For people: where llama.cpp turns by other angles.
std::vector<std::string> limits_of_rope(const Model& model, std::string_view architecture);

/// For people: where llama.cpp sees everything though layers slide (Translation::limits).
std::vector<std::string> limits_of_windows(const Model& model);

/// general.file_type: by the type that most numbers have.
std::uint32_t gguf_file_type(std::span<const TensorToWrite> tensors);

}  // namespace vitrine
