#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/head_place.h"
#include "probes/token_labels.h"
#include "probes/top_logits.h"
#include "probes/weight_algebra.h"

// What a head does with tokens as such (Elhage et al. 2021): the full OV circuit W_E W_V W_O W_U says which tokens' logits it raises where
// it looks at a token, the full QK circuit W_E W_Q W_K^T W_E^T at which tokens a token looks. Here for one head and some tokens, which are
// given or drawn evenly from the vocabulary; `copied` is the share of those whose own logit is raised most. Weights are folded
// (probes/weight_algebra.h): embeddings stand unscaled where a norm would scale them, so numbers compare within a row only. QK leaves rope
// and biases out.

namespace vitrine {
namespace {

std::vector<TokenId> chosen_tokens(const AnalysisInput& input) {
  const Model& model = input.model->model;
  if (!input.options.text("token").empty()) return {token_of(model, "token", input.options.text("token"))};
  const std::size_t count = std::min(input.options.whole("tokens", 1, 1000000), model.spec.vocabulary);
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>((i * 2 + 1) * model.spec.vocabulary / (count * 2)));
  return tokens;
}

/// Products of a direction with every row of a weight.  [rows]
std::vector<float> against_rows(ThreadPool& pool, const Weight& weight, std::span<const double> direction) {
  std::vector<float> out(weight.rows);
  constexpr std::size_t chunk = 1024;
  pool.run((weight.rows + chunk - 1) / chunk, [&](std::size_t c, std::size_t) {
    for (std::size_t r = c * chunk; r < std::min(weight.rows, (c + 1) * chunk); ++r) out[r] = static_cast<float>(dot(row_of(weight, r), direction));
  });
  return out;
}

std::vector<double> through(const Matrix& a, std::span<const double> x) {
  std::vector<double> out(a.rows);
  for (std::size_t r = 0; r < a.rows; ++r) out[r] = dot({&a(r, 0), a.columns}, x);
  return out;
}

std::vector<double> back_through(const Matrix& a, std::span<const double> x) {
  std::vector<double> out(a.columns, 0.0);
  for (std::size_t r = 0; r < a.rows; ++r) {
    for (std::size_t c = 0; c < a.columns; ++c) out[c] += x[r] * a(r, c);
  }
  return out;
}

std::string names_of(const Model& model, std::span<const std::int32_t> ids) {
  std::string names;
  for (const std::int32_t id : ids) names += (names.empty() ? "" : " ") + token_label(model, id);
  return names;
}

/// What the final norm and a linear transform make of a direction of the stream, to be held against rows of the head.
std::vector<double> towards_head(const Model& model, std::vector<double> direction) {
  const ModelSpec& spec = model.spec;
  const BlockSpec& last = spec.blocks.back();
  if (spec.final_norm) {
    if (last.norm == NormKind::layer) center(direction);
    const std::vector<double> gain = vector_or(model.weights.find({Role::final_norm, -1, false, spec.stack}), spec.width, 1.0);
    for (std::size_t c = 0; c < direction.size(); ++c) direction[c] *= gain[c];
  }
  return spec.head_transform ? times(model.weights.at({Role::head_transform, -1, false, spec.stack}), direction) : direction;
}

/// What the embedding's projection and norm make of a direction that is to be held against rows of embeddings.
std::vector<double> towards_embeddings(const Model& model, std::vector<double> direction) {
  const ModelSpec& spec = model.spec;
  if (spec.embedding_width > 0) direction = times_transposed(model.weights.at({Role::embedding_projection, -1, false, spec.stack}), direction);
  if (!spec.embedding_norm) return direction;
  const std::vector<double> gain = vector_or(model.weights.find({Role::embedding_norm, -1, false, spec.stack}), direction.size(), 1.0);
  for (std::size_t c = 0; c < direction.size(); ++c) direction[c] *= gain[c];
  return direction;
}

AnalysisResult run(const AnalysisInput& input) {
  const Model& model = input.model->model;
  const ModelSpec& spec = model.spec;
  if (!spec.has_head || (spec.head_transform && (spec.head_transform->activation || spec.head_transform->norm_epsilon))) {
    throw Error({model.path.filename().string(), "a linear language-model head", "none", "circuits from token to token end in it"});
  }
  const HeadPlace place = head_of(spec, "head", input.options.text("head"));
  const std::size_t top = input.options.whole("top", 1, spec.vocabulary);
  const HeadWeights weights = head_weights(model, place.layer, place.head);
  const Weight &head = model.weights.at({Role::head, -1, false, spec.stack}),
               &embedding = model.weights.at({Role::token_embedding, -1, false, spec.stack});
  AnalysisTable table{"circuits of " + head_label(place.layer, place.head), {"token", "raises most (OV)", "lowers most (OV)", "looks at (QK)"}, {}};
  const std::vector<TokenId> tokens = chosen_tokens(input);
  std::size_t copied = 0;
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    const std::vector<double> embedded = folded_embedding(model, tokens[n]);
    std::vector<float> written = against_rows(input.pool, head, towards_head(model, through(weights.o, through(weights.v, embedded))));
    const std::vector<float> seen =
        against_rows(input.pool, embedding, towards_embeddings(model, back_through(weights.k, through(weights.q, embedded))));
    std::vector<std::int32_t> raised(top), lowered(top), looked(top);
    std::vector<float> values(top);
    largest_logits(written, raised, values);
    largest_logits(seen, looked, values);
    for (float& value : written) value = -value;
    largest_logits(written, lowered, values);
    copied += raised.front() == tokens[n] ? 1 : 0;
    table.rows.push_back({token_label(model, tokens[n]), names_of(model, raised), names_of(model, lowered), names_of(model, looked)});
    input.run.step("qk_ov_circuits", n + 1, tokens.size());
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  if (tokens.size() > 1) {
    Estimate share = binomial_share("tokens that the head raises most itself", copied, tokens.size());
    share.null_value.reset();
    share.p.reset();
    share.resampled_unit = "tokens";
    share.reason = "nothing is tested";
    result.estimates.push_back(std::move(share));
  }
  result.notes = {"Of weights alone: embeddings without positions, without rope, biases and the scales of norms."};
  return result;
}

}  // namespace

const Analysis& analysis_qk_ov_circuits() {
  static constexpr AnalysisOption options[] = {{"head", "which, as L0H0", "L0H0"},
                                               {"token", "one token, as text or #id; empty: some of the vocabulary", ""},
                                               {"tokens", "how many of the vocabulary", "20"},
                                               {"top", "tokens of a cell", "4"}};
  static const Analysis analysis{"qk_ov_circuits",
                                 "which tokens a head raises where it looks at a token, and at which a token looks",
                                 "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
                                 "vitrine analyse qk_ov_circuits MODEL --set head=L5H1 --set tokens=40",
                                 AnalysisOf::weights,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
