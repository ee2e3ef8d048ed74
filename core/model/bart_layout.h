#pragma once

#include <string_view>

#include "core/model/architecture.h"
#include "core/model/metadata.h"

// BART's layout of an encoder-decoder, which mBART, Marian and M2M100 share.

namespace vitrine {

/// Where the families differ.
struct BartFamily {
  std::string_view name;
  NormPlacement placement = NormPlacement::post;
  bool embedding_norm = false;  ///< behind the sum of embeddings
  bool final_norm = false;      ///< of each stack
  PositionTable positions = PositionTable::file;
  bool skips_padding = false;   ///< padding has no position of its own
  std::string_view activation = "gelu";  ///< where the file names none
  bool scales_embedding = false;         ///< where the file does not say
};

/// @throws Error naming the key that is missing or makes no sense
ModelSpec describe_bart_layout(const Checkpoint& checkpoint, const BartFamily& family);

TensorRule bart_layout_tensor(const Checkpoint& checkpoint, const WeightKey& key);

}  // namespace vitrine
