#include "core/base/error.h"
#include "core/decode/growing_text.h"
#include "core/text/token_ids.h"

namespace vitrine {
namespace {

const DecodeOption scale{.name = "guidance-scale", .summary = "how far scores are taken from those without the text, 1 leaves them (1.5)", .fallback = 1.5, .low = -100, .high = 100};
const DecodeOption negative_text{.name = "negative-text", .summary = "what is led away from; without it the last token of the text stands alone", .kind = OptionKind::text};
const DecodeOption negative_ids{.name = "negative-ids", .summary = "the same as token ids: 1,2,3", .kind = OptionKind::text};

std::vector<TokenId> negative_of(const SearchProblem& problem) {
  for (const std::string& words : problem.values.texts(negative_ids)) return token_ids_of(negative_ids, words, problem.context.model.spec.vocabulary);
  for (const std::string& words : problem.values.texts(negative_text)) {
    if (!problem.tokenizer) throw Error({"--negative-text", "a model with a tokenizer", "none", "use --negative-ids"}, Fault::usage);
    std::vector<TokenId> ids = ids_of(problem.tokenizer->encode(words, {}));
    if (!ids.empty()) return ids;
    throw Error({"--negative-text", "at least one token", "none", ""}, Fault::usage);
  }
  return {problem.prompt.back()};
}

/// Text and negative side by side: log-probabilities w (l - n) + n, equation 7 of the paper as transformers has it, before the samplers.
void make(const SearchProblem& problem, std::span<const TokenId> negative, GrowingText& text) {
  const double weight = problem.values.number(scale);
  ModelScores model(problem);
  const std::span<const TokenId> prompts[] = {problem.prompt, negative};
  TensorView<float, 2> logits = model.begin(prompts);
  const std::size_t context = problem.context.model.spec.context;
  std::vector<float> scores(logits.extent(1));
  while (true) {
    const std::span<const float> row{&logits(0, 0), scores.size()}, other{&logits(1, 0), scores.size()};
    const double log_sum = model.log_sum(row), other_sum = model.log_sum(other);
    for (std::size_t v = 0; v < scores.size(); ++v) {
      const double own = row[v] - log_sum, away = other[v] - other_sum;
      scores[v] = static_cast<float>(weight * (own - away) + away);
    }
    const TokenId id = text.choose(scores);
    text.add(id, scores, row);
    if (text.complete() || (context > 0 && negative.size() + text.made().size() > context)) return;
    const NextScores::Growth growths[] = {{0, id}, {1, id}};
    logits = model.grow(growths);
  }
}

std::vector<GeneratedText> run(const SearchProblem& problem) {
  if (problem.source) throw Error({"--search guided", "a model without an encoder", "an encoder-decoder", ""}, Fault::usage);
  const std::vector<TokenId> negative = negative_of(problem);
  return one_by_one(problem, [&](GrowingText& text) { make(problem, negative, text); });
}

}  // namespace

const Search& search_guided() {
  static const Search search{"guided", "classifier-free guidance: away from what the model says without the text, or after another", "Sanchez et al. 2023, arXiv:2306.17806",
                             {scale, negative_text, negative_ids}, run, one_problem_at_a_time<run>};
  return search;
}

}  // namespace vitrine
