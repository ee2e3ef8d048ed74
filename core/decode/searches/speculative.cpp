#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/decode/drafting.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption confidence{.name = "draft-confidence", .summary = "a draft ends behind a token that the draft model itself gives a smaller probability (0.4)", .fallback = 0.4, .low = 0, .high = 1};

/// A smaller model that goes ahead by itself.
class DraftModel : public Drafter {
 public:
  explicit DraftModel(const SearchProblem& problem)
      : problem_(problem), context_(*problem.draft), cache_(context_.model.spec, problem.kv_format), least_(problem.values.number(confidence)) {
    if (context_.model.spec.encoder.empty()) return;
    memory_.emplace(context_.model.spec, problem.kv_format, AttentionRole::cross);
    const Segment source{.ids = problem.source_ids, .memory = &*memory_};
    encode(context_, {&source, 1}, {});
  }

  Draft propose(const GrowingText& growing, std::span<const TokenId> text, std::size_t most) override {
    const std::size_t context = context_.model.spec.context;
    Draft draft;
    std::vector<TokenId> all(text.begin(), text.end()), made(growing.made().begin(), growing.made().end());
    SamplerChain samplers = growing.samplers();
    std::optional<GrammarMatcher> grammar = growing.grammar();
    keep_common(text);
    bool draft_ends = false;
    while (!draft_ends && draft.ids.size() < most && (context == 0 || all.size() <= context)) {
      std::vector<float> scores = scores_behind(all);
      if (grammar && grammar->mask(scores) == 0) break;
      samplers.apply(scores, {problem_.prompt, problem_.source_ids, made, growing.draws()});
      const TokenId id = problem_.draws_tokens ? draw(scores, growing.draws().number(made.size(), draft_stream)) : likeliest(scores);
      samplers.chosen(id, scores);
      const float top = highest(scores);
      const double probability = std::exp(scores[static_cast<std::size_t>(id)] - top) / sum_of_weights(scores, top);
      if (problem_.draws_tokens) draft.scores.push_back(std::move(scores));
      if (probability < least_ || std::ranges::find(problem_.ends, id) != problem_.ends.end()) draft_ends = true;
      else if (grammar) grammar->accept(id);
      for (std::vector<TokenId>* list : {&draft.ids, &all, &made}) list->push_back(id);
    }
    return draft;
  }

 private:
  static constexpr std::uint64_t draft_stream = 0x64726166;  // of Draws

  /// Rows of the cache that the model did not take as they were drafted are forgotten; one row is left to be fed.
  void keep_common(std::span<const TokenId> text) {
    const auto common = static_cast<std::size_t>(std::ranges::mismatch(fed_, text).in1 - fed_.begin());
    fed_.resize(std::min(common, text.size() - 1));
    cache_.truncate(fed_.size());
  }
  std::vector<float> scores_behind(std::span<const TokenId> all) {
    const std::span<const TokenId> fresh = all.subspan(fed_.size());
    std::vector<float> scores;
    const ForwardSinks sinks{.logit_rows = LogitRows::last, .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
                               const float* last = &logits(rows.size() - 1, 0);
                               scores.assign(last, last + logits.extent(1));
                             }};
    const Segment segment{.ids = fresh, .cache = &cache_, .memory = memory_ ? &*memory_ : nullptr};
    forward(context_, {&segment, 1}, sinks);
    fed_.insert(fed_.end(), fresh.begin(), fresh.end());
    return scores;
  }

  const SearchProblem& problem_;
  const ForwardContext& context_;
  KvCache cache_;
  double least_;
  std::optional<KvCache> memory_{};  // of the source
  std::vector<TokenId> fed_{};
};

/// Ids must mean the same to both.
void require_same_vocabulary(const Model& model, const Model& draft) {
  if (model.spec.vocabulary != draft.spec.vocabulary) {
    throw Error({"--draft", "a model with the same " + std::to_string(model.spec.vocabulary) + " tokens", std::to_string(draft.spec.vocabulary), ""}, Fault::usage);
  }
  if (!model.tokenizer || !draft.tokenizer) return;
  for (std::size_t id = 0; id < std::min(model.tokenizer->vocabulary_size(), draft.tokenizer->vocabulary_size()); ++id) {
    const std::string own = model.tokenizer->piece(static_cast<TokenId>(id)), other = draft.tokenizer->piece(static_cast<TokenId>(id));
    if (own != other) throw Error({"--draft", "a model with the same tokens: " + std::to_string(id) + " is " + quoted(own), quoted(other), ""}, Fault::usage);
  }
}

void require_draft(const SearchProblem& problem) {
  if (!problem.draft) throw Error({"--search speculative", "a draft model", "none", "say --draft MODEL, a smaller one with the same vocabulary"}, Fault::usage);
  require_same_vocabulary(problem.context.model, problem.draft->model);
  if (problem.draft->model.spec.encoder.empty() != (problem.source == nullptr)) {
    throw Error({"--draft", problem.source ? "an encoder-decoder, as the model is" : "a model without an encoder, as the model is", "another kind", ""}, Fault::usage);
  }
}

/// Every text has a draft model's cache of its own, so that it does not depend on those before it.
std::vector<GeneratedText> make(const SearchProblem& problem) {
  return one_by_one(problem, [&](GrowingText& text) {
    DraftModel draft(problem);
    make_by_drafts(text, draft);
  });
}

/// All problems of a run are of the same two models.
std::vector<std::vector<GeneratedText>> run_together(std::span<const SearchProblem> problems) {
  if (!problems.empty()) require_draft(problems.front());
  return one_problem_at_a_time<make>(problems);
}
std::vector<GeneratedText> run(const SearchProblem& problem) { return std::move(run_together({&problem, 1}).front()); }

}  // namespace

const Search& search_speculative() {
  static const Search search{"speculative", "a smaller model drafts, the model checks several tokens a pass; the same text as greedy, or sampling's distribution",
                             "Leviathan, Kalman, Matias 2023, arXiv:2211.17192", {draft_tokens_option(), confidence}, run, run_together};
  return search;
}

}  // namespace vitrine
