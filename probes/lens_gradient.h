#pragma once

#include <vector>

#include "core/base/linear_algebra.h"
#include "core/model/model_runner.h"

// What a lens makes of rows of the residual stream, and how they would have to change.

namespace vitrine {

/// Logits of rows as if they came out of the last block.  [rows, width] -> [rows, vocabulary]
FloatMatrix lens_logits(const ModelRunner& runner, const FloatMatrix& rows);

/// KL(final || other) of each row, in nats.
/// @param final, other  [rows, vocabulary] logits
std::vector<double> divergences(ThreadPool& pool, const FloatMatrix& final, const FloatMatrix& other);

/// Rows of the head turned.  [head's width, vocabulary] f32
Weight transposed_head(const Model& model);

/// Gradient by x of the mean over rows of KL(final || lens_logits(x)), of a model whose head has no transform:
///   d logits = (p - p_final) / rows, times 1 - (logit / c)^2 through a soft cap c;  d n = head^T d logits times the head's scale;
///   d x = (g d n - mean(g d n) - n mean(n g d n)) / s  through a norm of scale s and gain g, n = (x - mean) / s; rms: without means of x
/// @param x      [rows, width]  @param final  [rows, vocabulary] logits
/// @param head   of transposed_head()
FloatMatrix lens_gradient(const ModelRunner& runner, const Weight& head, const FloatMatrix& x, const FloatMatrix& final);

}  // namespace vitrine
