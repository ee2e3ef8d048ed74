#pragma once

#include <functional>
#include <string>
#include <vector>

#include "experiments/session.h"

namespace vitrine {

/// A prompt, its two names, and the prompt with the names' roles exchanged.
struct IoiPrompt {
  std::string text;
  std::vector<TokenId> ids;  ///< with a BOS where the tokenizer has one
  TokenId answer = 0, wrong = 0;
};

/// Eight prompts, neighbours being each other's corruption. A name of several tokens counts by its first.
/// @throws Error where two names begin alike, corruptions differ in length, or a model shaped as GPT-2 small has other ids than published
std::vector<IoiPrompt> ioi_prompts(const Model& model);
bool shaped_as_gpt2_small(const ModelSpec& spec);

/// Numbers by layer (rows) and head or position (columns).
struct IoiMatrix {
  std::string name;
  std::size_t rows = 0, columns = 0;
  std::vector<double> values;
  double at(std::size_t row, std::size_t column) const { return values.at(row * columns + column); }
};

/// Everything that the study measures. Means over the prompts of logit(answer) - logit(wrong) at the last position.
struct IoiNumbers {
  std::vector<double> differences;        ///< [prompts] logit differences
  double corrupted = 0.0;                 ///< mean difference of the corrupted prompts
  std::vector<std::pair<std::string, double>> lens;   ///< what the stream is worth read off behind each step, "0_pre" ... "final_post"
  std::vector<std::pair<std::string, double>> parts;  ///< direct attribution: "embed", ..., "0_attn_out", "0_mlp_out", ...
  std::vector<IoiMatrix> matrices;        ///< of heads, of patching, of head scores
  std::string ablated;                    ///< the head with the largest attribution, silenced at the last position
  double after_ablation = 0.0;            ///< mean difference then
};

/// Direct attributions freeze the final norm's scale, centre the stream where the norm does, and leave value biases to the module: with
/// folded weights (TransformerLens) they are the same numbers. Patching takes clean values into corrupted runs and gives the share of the
/// mean difference that comes back.
/// @param points  words of --sweep: "resid_pre", "z", ...
IoiNumbers measure_ioi(Session& session, std::span<const IoiPrompt> prompts, std::span<const std::string> points);

/// Direct attribution of every head alone, as in measure_ioi.  [layers, heads]
IoiMatrix attribute_heads(Session& session, std::span<const IoiPrompt> prompts);

}  // namespace vitrine
