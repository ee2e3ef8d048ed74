#include "core/decode/drafting.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/decode/scores.h"
#include "core/decode/token_by_token.h"

namespace vitrine {
namespace {

constexpr std::uint64_t keep_stream = 0x6b656570, replace_stream = 0x72657063;  // of Draws

/// How many tokens are worth drafting, by what became of the drafts before: one more than the last got right, twice as many where all were
/// right, and none for a while where draft after draft comes to nothing. Rows of a pass are cheap, not free.
class DraftLength {
 public:
  explicit DraftLength(std::size_t most) : most_(most), next_(most) {}

  /// 0: this pass goes without.
  std::size_t next() {
    if (pause_ == 0) return next_;
    --pause_;
    return 0;
  }
  void learn(std::size_t drafted, std::size_t kept) {
    if (drafted == 0) return;
    next_ = std::min(most_, kept == drafted ? 2 * next_ : kept + 1);
    misses_ = kept == 0 ? misses_ + 1 : 0;
    if (misses_ > 1) pause_ = std::min(longest_pause, std::size_t{1} << std::min<std::size_t>(misses_ - 2, 8));
  }

 private:
  static constexpr std::size_t longest_pause = 8;  // passes
  std::size_t most_, next_, misses_ = 0, pause_ = 0;
};

/// The text's way through the model, a few rows a pass; rows that came to nothing are forgotten.
class Checked {
 public:
  explicit Checked(const SearchProblem& problem) : problem_(problem), cache_(problem.context.model.spec, problem.kv_format) {}

  /// Logits of the last token of the prompt.
  void begin() { feed(problem_.prompt, LogitRows::last); }
  /// Logits of every token. @param ids  behind those that are kept
  void check(std::span<const TokenId> ids) { feed(ids, LogitRows::all); }
  void keep(std::size_t length) { cache_.truncate(length); }
  std::size_t length() const { return cache_.length(); }
  std::span<const float> row(std::size_t index) const {
    const std::size_t vocabulary = problem_.context.model.spec.vocabulary;
    return std::span(logits_).subspan(index * vocabulary, vocabulary);
  }

 private:
  void feed(std::span<const TokenId> ids, LogitRows which) {
    logits_.clear();
    const ForwardSinks sinks{.logit_rows = which, .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
                               for (std::size_t r = 0; r < rows.size(); ++r) logits_.insert(logits_.end(), &logits(r, 0), &logits(r, 0) + logits.extent(1));
                             }};
    const Segment segment{.ids = ids, .cache = &cache_, .memory = problem_.source};
    forward(problem_.context, {&segment, 1}, sinks);
  }

  const SearchProblem& problem_;
  KvCache cache_;
  std::vector<float> logits_;  // [rows, vocabulary] of the last pass
};

/// The drafted token where it is kept, else another one: together they have the distribution of `scores`.
TokenId kept_or_replaced(const GrowingText& text, std::span<const float> scores, std::span<const float> drawn_from, TokenId drafted) {
  const std::size_t step = text.made().size();
  const float top = highest(scores), draft_top = highest(drawn_from);
  const double total = sum_of_weights(scores, top), draft_total = sum_of_weights(drawn_from, draft_top);
  const auto p = [&](std::size_t v) { return std::exp(static_cast<double>(scores[v]) - top) / total; };
  const auto q = [&](std::size_t v) { return std::exp(static_cast<double>(drawn_from[v]) - draft_top) / draft_total; };
  const auto id = static_cast<std::size_t>(drafted);
  if (text.draws().number(step, keep_stream) * q(id) < p(id)) return drafted;
  std::vector<float> rest(scores.size(), never_chosen);
  for (std::size_t v = 0; v < scores.size(); ++v) {
    const double more = scores[v] > never_chosen ? p(v) - q(v) : 0.0;
    if (more > 0.0) rest[v] = static_cast<float>(std::log(more));
  }
  if (highest(rest) == never_chosen) return drafted;  // both distributions are one
  return draw(rest, text.draws().number(step, replace_stream));
}

/// One token by the model's logits. Returns whether the draft said it.
bool take(GrowingText& text, std::span<const float> logits, const Draft& draft, std::size_t place) {
  std::vector<float> scores(logits.begin(), logits.end());
  const bool drafted = place < draft.ids.size(), was_drawn = drafted && !draft.scores.empty();
  if (was_drawn) text.narrow(scores);
  const TokenId id = was_drawn ? kept_or_replaced(text, scores, draft.scores[place], draft.ids[place]) : text.choose(scores);
  text.add(id, scores, logits);
  return drafted && id == draft.ids[place];
}

}  // namespace

const DecodeOption& draft_tokens_option() {
  static const DecodeOption option{.name = "draft-tokens", .summary = "how many tokens are drafted at the most before the model checks them (7); fewer after drafts that came to little", .kind = OptionKind::whole,
                                   .fallback = 7, .low = 1, .high = 64};
  return option;
}

void make_by_drafts(GrowingText& text, Drafter& drafter) {
  const SearchProblem& problem = text.problem();
  const std::size_t agreeing = rows_that_agree(problem.context.ops.precision());
  DraftLength length(problem.values.whole(draft_tokens_option()));
  Checked checked(problem);
  checked.begin();
  take(text, checked.row(0), {}, 0);
  std::vector<TokenId> all(problem.prompt.begin(), problem.prompt.end());
  while (!text.complete()) {
    all.resize(problem.prompt.size());
    all.insert(all.end(), text.made().begin(), text.made().end());
    const std::size_t useful = std::min(length.next(), text.left() - 1);  // the model itself makes one more
    const Draft draft = useful > 0 ? drafter.propose(text, all, useful) : Draft{};
    std::vector<TokenId> fed(1, all.back());
    fed.insert(fed.end(), draft.ids.begin(), draft.ids.end());
    bool agrees = true;
    std::size_t kept = 0;
    for (std::size_t begin = 0; begin < fed.size() && agrees && !text.complete(); begin += agreeing) {
      const std::size_t count = std::min(agreeing, fed.size() - begin);
      checked.check(std::span(fed).subspan(begin, count));
      for (std::size_t i = 0; i < count && agrees && !text.complete(); ++i) kept += agrees = take(text, checked.row(i), draft, begin + i);
    }
    text.count_draft(draft.ids.size(), kept);
    length.learn(draft.ids.size(), kept);
    if (!text.complete()) checked.keep(problem.prompt.size() + text.made().size() - 1);
  }
}

}  // namespace vitrine
