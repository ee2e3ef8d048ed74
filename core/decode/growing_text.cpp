#include "core/decode/growing_text.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/decode/by_grammar.h"
#include "core/decode/scores.h"

namespace vitrine {

void require_unobserved(const SearchProblem& problem) {
  if (problem.feeds_last_token) throw Error({"--record", "a search that runs one token of one text after another through the model: greedy or sample", "another", ""}, Fault::usage);
}

TokenId GrowingText::choose(std::vector<float>& scores) {
  const auto chosen = [&](std::uint64_t stream) {
    samplers_.apply(scores, so_far());
    return problem_.draws_tokens ? draw(scores, draws_.number(made_.size(), stream)) : likeliest(scores);
  };
  return grammar_ ? choose_by_grammar(*grammar_, left() - 1, scores, chosen) : chosen(0);
}

void GrowingText::narrow(std::span<float> scores) {
  if (grammar_) mask_by(*grammar_, left() - 1, scores);
  samplers_.apply(scores, so_far());
}

void GrowingText::add(TokenId id, std::span<const float> scores, std::span<const float> logits) {
  if (std::ranges::find(problem_.ends, id) != problem_.ends.end()) {
    if (grammar_) grammar_->accept(id);
    complete_ = true;
    text_.ended = !grammar_ || grammar_->ended();  // an end in the middle of a grammar is one of its letters
    return;
  }
  samplers_.chosen(id, scores);
  if (grammar_) grammar_->accept(id);
  made_.push_back(id);
  text_.tokens.push_back(told_token(id, logits, log_sum_of(problem_.context.ops, logits), problem_.likeliest));
  problem_.context.run.step("generate", number_ * most_ + made_.size(), problem_.texts * most_);
  const bool stopped = problem_.on_token && !problem_.on_token(number_, text_.tokens.back());
  if (stopped || (grammar_ && (grammar_->must_end() || (left() == 0 && grammar_->may_end())))) complete_ = text_.ended = true;
}

void GrowingText::count_draft(std::size_t drafted, std::size_t kept) {
  if (!text_.drafts) text_.drafts.emplace();
  text_.drafts->passes += 1;
  text_.drafts->drafted += drafted;
  text_.drafts->kept += kept;
}

}  // namespace vitrine
