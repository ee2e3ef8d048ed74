#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "core/base/linear_algebra.h"
#include "core/base/thread_pool.h"
#include "core/model/model.h"
#include "core/model/probe_point.h"

// What analyses do with weights of any type, in double or f32. "Folded" is TransformerLens' word: a norm's gain is part of the matrix
// that reads its output, and where norms centre, matrices that read or write the residual stream are centred over its width, which
// changes no output. Scales of norms depend on the text and are left out.

namespace vitrine {

/// Numbers of one row of a weight.  [cols]
std::vector<double> row_of(const Weight& weight, std::size_t row);
/// Rows [first, first + count) as f32.
FloatMatrix rows_of(const Weight& weight, std::size_t first, std::size_t count);
/// W^T x: how much each input counts for a direction of outputs.  [rows] -> [cols]
std::vector<double> times_transposed(const Weight& weight, std::span<const double> outputs);
/// W x.  [cols] -> [rows]
std::vector<double> times(const Weight& weight, std::span<const double> inputs);
/// Numbers of a vector, or `otherwise` everywhere where the model has none.  [width]
std::vector<double> vector_or(const Weight* weight, std::size_t width, double otherwise);
double dot(std::span<const double> a, std::span<const double> b);
/// Less its mean.
void center(std::span<double> vector);

/// One head's own matrices, folded; k and v are those that its group shares.
struct HeadWeights {
  Matrix q, k, v;  ///< [d_head, width]
  Matrix o;        ///< [width, d_head]
};
/// @param attention  self attention of a decoder or of the only stack
HeadWeights head_weights(const Model& model, std::size_t block, std::size_t head);

/// E^T U over the whole vocabulary, folded: E are the token embeddings (through the projection, where there is one, with the gain of the
/// embedding's norm), U the head (with the final norm's gain and, if linear, its transform), whose mean row is taken off. It makes
/// circuits from tokens to tokens small.  [width, width]
/// None where the head has a transform that is not linear, or no head is there.
std::optional<Matrix> embedding_times_head(const Model& model, ThreadPool& pool);

/// A token's embedding, with the gain of the embedding's norm and through the projection where there is one.  [width]
std::vector<double> folded_embedding(const Model& model, TokenId token);

}  // namespace vitrine
