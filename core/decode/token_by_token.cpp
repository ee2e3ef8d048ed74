#include "core/decode/token_by_token.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/decode/by_grammar.h"
#include "core/decode/hypotheses.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

/// A prompt that went through the model: what its texts begin with.
struct Begun {
  KvCache cache;
  std::vector<float> logits;  // [vocabulary] behind its last token
};

struct Text {
  const SearchProblem* problem;
  GeneratedText* result;
  std::size_t number;            // of the text among those of the problem
  std::uint32_t sequence;        // its name in a pass
  std::shared_ptr<Begun> begun;  // null once the text's own cache holds the prompt
  KvCache cache;
  SamplerChain samplers;
  std::optional<GrammarMatcher> grammar;
  std::vector<TokenId> made{};
  bool finished = false;
};

/// Texts that run at the same time.
class Running {
 public:
  Running(std::span<const SearchProblem> problems, TokenChoice choice) : problems_(problems), choice_(choice), results_(problems.size()) {
    for (std::size_t p = 0; p < problems.size(); ++p) {
      VITRINE_CHECK(!problems[p].prompt.empty());
      results_[p].resize(problems[p].texts);
      all_tokens_ += problems[p].texts * problems[p].max_tokens;
    }
  }

  std::vector<std::vector<GeneratedText>> run() {
    if (problems_.empty()) return {};
    const std::size_t most = std::clamp<std::size_t>(problems_.front().texts_a_pass, 1, rows_that_agree(problems_.front().context.ops.precision()));
    while (true) {
      while (texts_.size() < most && begin_next()) {}
      if (texts_.empty()) return std::move(results_);
      step();
      std::erase_if(texts_, [](const Text& text) { return text.finished; });
    }
  }

 private:
  /// The next text that waits, with its first token. False where none does.
  bool begin_next() {
    while (problem_ < problems_.size() && next_text_ == problems_[problem_].texts) {
      ++problem_;
      next_text_ = 0;
      begun_.reset();
    }
    if (problem_ == problems_.size()) return false;
    const SearchProblem& problem = problems_[problem_];
    if (next_text_ == 0) begun_ = begin(problem);
    Text text{&problem, &results_[problem_][next_text_], next_text_, sequence_++, begun_, KvCache(problem.context.model.spec, problem.kv_format), problem.samplers.copy(), {}};
    if (problem.grammar) text.grammar = *problem.grammar;
    if (++next_text_ == problem.texts && problem.texts == 1) {  // nobody else needs the prompt's cache
      text.cache = std::move(begun_->cache);
      text.begun.reset();
    }
    take(text, begun_->logits);
    if (text.finished) finish(text);
    else texts_.push_back(std::move(text));
    return true;
  }

  std::shared_ptr<Begun> begin(const SearchProblem& problem) {
    auto begun = std::make_shared<Begun>(KvCache(problem.context.model.spec, problem.kv_format), std::vector<float>());
    const ForwardSinks sinks{.logit_rows = LogitRows::last, .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
                               const float* last = &logits(rows.size() - 1, 0);
                               begun->logits.assign(last, last + logits.extent(1));
                             }};
    const Segment segment{.sequence = sequence_, .ids = problem.prompt, .cache = &begun->cache, .memory = problem.source};
    forward(problem.context, {&segment, 1}, sinks);
    return begun;
  }

  /// One token of every running text.
  void step() {
    std::vector<Segment> segments;
    for (Text& text : texts_) segments.push_back(segment_of(text));
    std::size_t next = 0;
    const ForwardSinks sinks{.logit_rows = LogitRows::last, .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
                               for (std::size_t r = 0; r < rows.size(); ++r, ++next) {
                                 VITRINE_CHECK(rows[r].sequence == texts_[next].sequence);
                                 texts_[next].begun.reset();
                                 take(texts_[next], {&logits(r, 0), logits.extent(1)});
                               }
                             }};
    forward(problems_.front().context, segments, sinks);
    for (Text& text : texts_) {
      if (text.finished) finish(text);
    }
  }

  Segment segment_of(Text& text) const {
    Segment segment{.sequence = text.sequence, .ids = {&text.made.back(), 1}, .cache = &text.cache, .memory = text.problem->source};
    if (text.begun) {
      segment.shared_from = &text.begun->cache;
      segment.shared = text.begun->cache.length();
    }
    return segment;
  }

  /// Takes a token by what the model says.
  void take(Text& text, std::span<const float> logits) {
    const SearchProblem& problem = *text.problem;
    if (problem.max_tokens == 0) {
      text.finished = true;
      return;
    }
    GeneratedToken token = choose(text, logits);
    if (std::ranges::find(problem.ends, token.id) != problem.ends.end()) {
      text.finished = true;
      text.result->ended = !text.grammar || text.grammar->ended();  // an end in the middle of a grammar is one of its letters
      return;
    }
    text.made.push_back(token.id);
    text.result->tokens.push_back(std::move(token));
    const std::size_t made = text.made.size();
    problem.context.run.step("generate", ++tokens_, all_tokens_);
    const bool stopped = problem.on_token && !problem.on_token(text.number, text.result->tokens.back());
    text.result->ended = stopped || (text.grammar && text.grammar->must_end());
    text.finished = text.result->ended || made == most_tokens(problem);
    if (text.finished && text.grammar && text.grammar->may_end()) text.result->ended = true;
  }

  GeneratedToken choose(Text& text, std::span<const float> logits) {
    const bool plain = choice_ == TokenChoice::likeliest && text.samplers.empty() && !text.grammar;
    const TokenId id = plain ? likeliest(logits) : choose_by_rules(text, logits);
    return told_token(id, logits, log_sum_of(text.problem->context.ops, logits), text.problem->likeliest);
  }

  TokenId choose_by_rules(Text& text, std::span<const float> logits) {
    scores_.assign(logits.begin(), logits.end());
    const auto chosen = [&](std::uint64_t stream) { return choose_from_scores(text, stream); };
    const TokenId id = text.grammar ? choose_by_grammar(*text.grammar, most_tokens(*text.problem) - text.made.size() - 1, scores_, chosen) : chosen(0);
    text.samplers.chosen(id, scores_);
    if (text.grammar) text.grammar->accept(id);
    return id;
  }

  TokenId choose_from_scores(Text& text, std::uint64_t stream) {
    const SearchProblem& problem = *text.problem;
    Draws draws = problem.draws;
    draws.text += text.number;
    text.samplers.apply(scores_, {problem.prompt, problem.source_ids, text.made, draws});
    return choice_ == TokenChoice::drawn ? draw(scores_, draws.number(text.made.size(), stream)) : likeliest(scores_);
  }

  /// The last token through the model, where somebody wants to see it there.
  void finish(Text& text) const {
    const SearchProblem& problem = *text.problem;
    const std::size_t rows = problem.prompt.size() + text.made.size(), context = problem.context.model.spec.context;
    if (!problem.feeds_last_token || text.made.empty() || text.cache.length() == rows || (context > 0 && rows > context)) return;
    const Segment segment = segment_of(text);
    forward(problem.context, {&segment, 1}, {});
  }

  std::span<const SearchProblem> problems_;
  TokenChoice choice_;
  std::vector<std::vector<GeneratedText>> results_;
  std::deque<Text> texts_;
  std::shared_ptr<Begun> begun_;  // the prompt of the next text, but for a problem's first
  std::size_t problem_ = 0, next_text_ = 0;
  std::uint32_t sequence_ = 0;
  std::size_t tokens_ = 0, all_tokens_ = 0;
  std::vector<float> scores_;
};

}  // namespace

std::size_t rows_that_agree(Precision precision) {
  constexpr std::size_t few_rows = 8;  // of kernels/ops/products.cpp; tests/experiments holds both together
  return precision == Precision::exact ? max_rows : few_rows;
}

std::vector<std::vector<GeneratedText>> continue_texts(std::span<const SearchProblem> problems, TokenChoice choice) {
  return Running(problems, choice).run();
}

}  // namespace vitrine
