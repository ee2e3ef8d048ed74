#pragma once

#include <initializer_list>
#include <string_view>

#include "core/model/rotary_decoder.h"

// What the Gemma models have in common besides the shape of Llama.

namespace vitrine {

/// Embeddings are multiplied by sqrt(width). @throws Error where the model is none that predicts from left to right
void set_gemma_embedding(const MetadataReader& read, ModelSpec& spec);

/// "gelu" meant its tanh form in the first Gemma files.
Activation read_gemma_activation(const MetadataReader& read, std::string_view key);

/// Scores are divided by the root of query_pre_attn_scalar. A GGUF has no such key: there it is head_dim, but width / heads in
/// the model of `largest_blocks` blocks (as llama.cpp has it).
void set_query_scale(const MetadataReader& read, std::size_t largest_blocks, ModelSpec& spec);

/// 0 where there is none (a config.json's null).
double read_cap(const MetadataReader& read, std::initializer_list<std::string_view> keys, double fallback);

/// All layers slide but every `pattern`-th.
void set_gemma_windows(const MetadataReader& read, std::size_t pattern, ModelSpec& spec);

TensorRule gemma_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const WeightKey& key);

}  // namespace vitrine
