#include "core/model/unembed.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t logit_slot = 32;  // behind BlockPass's slots; 33 is forward()'s
constexpr std::size_t transformed_slot = 34;
constexpr std::size_t normed_slot = 35;
constexpr std::size_t lens_slot = 39;  // behind the readout's

/// The rows that the head multiplies, made of those after the final norm.
TensorView<float, 2> transform(const ForwardContext& context, TensorView<float, 2> hidden) {
  const ModelSpec& spec = context.model.spec;
  if (spec.head_scale != 1.0f) context.ops.scale(spec.head_scale, hidden);
  if (!spec.head_transform) return hidden;
  const HeadTransformSpec& head = *spec.head_transform;
  const auto weight = [&](Role role, bool bias) { return context.model.weights.find({role, -1, bias, spec.stack}); };
  TensorView<float, 2> dense = context.workspace.matrix(transformed_slot, hidden.extent(0), head.width);
  const Product products[] = {{weight(Role::head_transform, false), weight(Role::head_transform, true), dense}};
  context.ops.multiply(hidden, products);
  if (head.activation) context.ops.activate(*head.activation, dense, {}, dense);
  if (!head.norm_epsilon) return dense;
  TensorView<float, 2> normed = context.workspace.matrix(normed_slot, hidden.extent(0), head.width);
  context.ops.normalize({NormKind::layer, *head.norm_epsilon, weight(Role::head_norm, false), weight(Role::head_norm, true)},
                        dense, normed, {});
  return normed;
}

}  // namespace

TensorView<float, 2> unembed(const ForwardContext& context, TensorView<float, 2> hidden) {
  const ModelSpec& spec = context.model.spec;
  TensorView<float, 2> logits = context.workspace.matrix(logit_slot, hidden.extent(0), spec.vocabulary);
  const Product products[] = {{&context.model.weights.at({Role::head, -1, false, spec.stack}),
                               context.model.weights.find({Role::head, -1, true, spec.stack}), logits}};
  context.ops.multiply(transform(context, hidden), products);
  if (spec.logit_soft_cap > 0.0f) context.ops.soft_cap(spec.logit_soft_cap, logits);
  return logits;
}

TensorView<float, 2> logits_of_residual(const ForwardContext& context, TensorView<const float, 2> residual) {
  const ModelSpec& spec = context.model.spec;
  VITRINE_CHECK(spec.has_head && residual.extent(1) == spec.width);
  const TensorView<float, 2> hidden = context.workspace.matrix(lens_slot, residual.extent(0), spec.width);
  if (spec.final_norm) {
    const auto weight = [&](bool bias) { return context.model.weights.find({Role::final_norm, -1, bias, spec.stack}); };
    context.ops.normalize({spec.blocks.back().norm, spec.blocks.back().norm_epsilon, weight(false), weight(true)}, residual, hidden, {});
  } else {
    for (std::size_t r = 0; r < residual.extent(0); ++r) std::copy_n(&residual(r, 0), spec.width, &hidden(r, 0));
  }
  return unembed(context, hidden);
}

}  // namespace vitrine
