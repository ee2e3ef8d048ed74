#include "probes/logit_direction.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/weight_algebra.h"

namespace vitrine {
namespace {

double scale_of(const BlockSpec& block, std::span<const double> x) {
  double mean = 0.0, squares = 0.0;
  for (const double number : x) mean += number / static_cast<double>(x.size());
  if (block.norm == NormKind::rms) mean = 0.0;
  for (const double number : x) squares += (number - mean) * (number - mean) / static_cast<double>(x.size());
  return std::sqrt(squares + block.norm_epsilon);
}

/// Direction and constant of one token's logit.
void add_token(const Model& model, TokenId token, double sign, LogitDirection& of) {
  const ModelSpec& spec = model.spec;
  std::vector<double> direction = row_of(*weight_or_null(model, Role::head, -1, false), static_cast<std::size_t>(token));
  double constant = 0.0;
  if (const Weight* bias = weight_or_null(model, Role::head, -1, true)) constant += vector_or(bias, spec.vocabulary, 0.0)[static_cast<std::size_t>(token)];
  if (spec.head_transform) {
    if (const Weight* bias = weight_or_null(model, Role::head_transform, -1, true)) constant += dot(vector_or(bias, direction.size(), 0.0), direction);
    direction = times_transposed(*weight_or_null(model, Role::head_transform, -1, false), direction);
  }
  for (std::size_t c = 0; c < direction.size(); ++c) of.direction[c] += sign * spec.head_scale * direction[c];
  of.constant += sign * constant;
}

}  // namespace

const Weight* weight_or_null(const Model& model, Role role, int block, bool bias) { return model.weights.find({role, block, bias, model.spec.stack}); }

void require_linear_head(const Model& model) {
  const ModelSpec& spec = model.spec;
  const std::string where = model.path.filename().string();
  if (!spec.has_head) throw Error({where, "a language-model head", "none", "parts are measured by what they add to a logit"});
  if (spec.query_stream) throw Error({where, "rows that predict by themselves", "a query stream, which predicts", ""});
  if (spec.head_transform && (spec.head_transform->activation || spec.head_transform->norm_epsilon)) {
    throw Error({where, "a head that is linear behind the final norm", "a transform with an activation or a norm",
                 "ask the lens or an attribution by gradients"});
  }
  if (std::ranges::any_of(spec.blocks, [](const BlockSpec& block) { return block.placement == NormPlacement::post; })) {
    throw Error({where, "a residual stream that modules add to", "one that is normed after every module", "ask an attribution by gradients"});
  }
}

std::vector<double> through_norm(const FrozenNorm& norm, std::vector<double> direction) {
  const std::vector<double> gain = vector_or(norm.gain, direction.size(), 1.0);
  for (std::size_t c = 0; c < direction.size(); ++c) direction[c] *= gain[c] / norm.scale;
  if (norm.kind == NormKind::layer) center(direction);
  return direction;
}

LogitDirection logit_direction(const Model& model, const LogitTarget& target, std::span<const double> last) {
  const ModelSpec& spec = model.spec;
  LogitDirection of{std::vector<double>(spec.width, 0.0)};
  add_token(model, target.token, 1.0, of);
  if (target.against) add_token(model, *target.against, -1.0, of);
  if (!spec.final_norm) return of;
  if (const Weight* bias = weight_or_null(model, Role::final_norm, -1, true)) of.constant += dot(vector_or(bias, spec.width, 0.0), of.direction);
  const BlockSpec& block = spec.blocks.back();
  of.direction = through_norm({weight_or_null(model, Role::final_norm, -1, false), nullptr, block.norm, scale_of(block, last)}, std::move(of.direction));
  return of;
}

}  // namespace vitrine
