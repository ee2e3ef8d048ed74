#pragma once

#include <span>
#include <vector>

#include "experiments/session.h"

namespace vitrine {

/// One vector for a sequence: the rows after the final norm, pooled, divided by their Euclidean length where `normalize`.
/// @param pooling  mean over all rows, the first (cls) or the last row
std::vector<double> sequence_embedding(Session& session, std::span<const TokenId> ids, Pooling pooling, bool normalize);

struct EmbeddingRequest {
  Pooling pooling = Pooling::mean;  ///< mean over all rows, the first (cls) or the last row
  bool normalize = true;            ///< divide by the Euclidean length
};
/// One vector for each sequence, in their order; an empty one for a sequence without tokens. Many share a pass.
std::vector<std::vector<double>> sequence_embeddings(Session& session, std::span<const std::vector<TokenId>> sequences,
                                                     const EmbeddingRequest& request);

}  // namespace vitrine
