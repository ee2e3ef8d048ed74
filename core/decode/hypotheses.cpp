#include "core/decode/hypotheses.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

/// Positions [first, count) of one head after another. @param from, to  views of at least `count` positions of both caches
void copy_positions(const KvView& from, const KvView& to, std::size_t first, std::size_t count) {
  for (std::size_t head = 0; head < from.kv_heads; ++head) {
    // The cache that is written gave this view of itself.
    std::memcpy(const_cast<std::byte*>(to.row(first, head)), from.row(first, head), (count - first) * static_cast<std::size_t>(from.row_bytes));
  }
}

}  // namespace

double NextScores::log_sum(std::span<const float> logits) const {
  const float top = highest(logits);
  return top + std::log(sum_of_weights(logits, top));
}

double log_sum_of(Ops& ops, std::span<const float> logits) {
  const auto top = static_cast<std::size_t>(likeliest(logits));
  return logits[top] - ops.log_probability(logits, top);
}

double ModelScores::log_sum(std::span<const float> logits) const { return log_sum_of(context_.ops, logits); }

void ModelScores::make_room(std::size_t texts) {
  while (texts_.size() < texts) texts_.push_back({KvCache(context_.model.spec, format_)});
}

TensorView<float, 2> ModelScores::begin(std::span<const std::span<const TokenId>> prompts) {
  texts_.clear();
  live_.clear();
  make_room(prompts.size());
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    VITRINE_CHECK(!prompts[i].empty());
    live_.push_back(i);
    for (std::size_t row = 0; row < prompts[i].size(); ++row) texts_[i].rows.push_back(next_row_++);
    segments.push_back({.sequence = static_cast<std::uint32_t>(i), .ids = prompts[i], .cache = &texts_[i].cache, .memory = source_});
  }
  return run(segments);
}

/// Of the places that nobody needs the one whose rows part last from the wanted ones.
std::size_t ModelScores::closest(const Text& wanted, std::span<const char> taken) const {
  std::size_t best = texts_.size(), best_alike = 0;
  for (std::size_t place = 0; place < texts_.size(); ++place) {
    if (place < taken.size() && taken[place]) continue;
    const auto alike = std::ranges::mismatch(texts_[place].rows, wanted.rows).in1 - texts_[place].rows.begin();
    if (best == texts_.size() || static_cast<std::size_t>(alike) > best_alike) best = place, best_alike = static_cast<std::size_t>(alike);
  }
  return best;
}

void ModelScores::copy(const Text& from, Text& to) {
  const auto alike = static_cast<std::size_t>(std::ranges::mismatch(to.rows, from.rows).in1 - to.rows.begin()), count = from.rows.size();
  to.cache.truncate(alike);
  to.cache.reserve(count - alike);
  to.cache.set_reach(from.cache.reach());
  for (std::size_t block = 0; block < context_.model.spec.blocks.size(); ++block) {
    copy_positions(from.cache.keys(block, count), to.cache.keys(block, count), alike, count);
    copy_positions(from.cache.values(block, count), to.cache.values(block, count), alike, count);
  }
  to.cache.advance(count - alike);
  to.rows = from.rows;
}

TensorView<float, 2> ModelScores::grow(std::span<const Growth> growths) {
  const std::vector<std::size_t> before = live_;
  constexpr auto nowhere = static_cast<std::size_t>(-1);
  live_.assign(growths.size(), nowhere);
  std::vector<char> taken(texts_.size(), 0);
  for (std::size_t i = 0; i < growths.size(); ++i) {  // the first that goes on with a text keeps its place
    const std::size_t place = before[growths[i].parent];
    if (!taken[place]) taken[place] = 1, live_[i] = place;
  }
  for (std::size_t i = 0; i < growths.size(); ++i) {
    if (live_[i] != nowhere) continue;
    const std::size_t place = closest(texts_[before[growths[i].parent]], taken);
    if (place == texts_.size()) make_room(place + 1);
    taken.resize(std::max(taken.size(), place + 1), 0);
    taken[place] = 1, live_[i] = place;
    copy(texts_[before[growths[i].parent]], texts_[place]);
  }
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < growths.size(); ++i) {
    Text& text = texts_[live_[i]];
    text.rows.push_back(next_row_++);
    segments.push_back({.sequence = static_cast<std::uint32_t>(i), .ids = {&growths[i].id, 1}, .cache = &text.cache, .memory = source_});
  }
  return run(segments);
}

TensorView<float, 2> ModelScores::run(std::span<const Segment> segments) {
  const std::size_t vocabulary = context_.model.spec.vocabulary;
  logits_.resize(std::max(logits_.size(), segments.size() * vocabulary));
  const ForwardSinks sinks{.logit_rows = LogitRows::last,
                           .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
                             for (std::size_t r = 0; r < rows.size(); ++r) std::copy_n(&logits(r, 0), vocabulary, logits_.data() + rows[r].sequence * vocabulary);
                           },
                           .hidden = on_hidden};
  forward(context_, segments, sinks);
  return {logits_.data(), {segments.size(), vocabulary}};
}

GeneratedToken told_token(TokenId id, std::span<const float> logits, double log_sum, std::size_t likeliest) {
  GeneratedToken token{.id = id, .log_probability = logits[static_cast<std::size_t>(id)] - log_sum};
  if (likeliest == 0) return token;
  Ranking ranking(logits);
  for (std::size_t i = 0; i < likeliest && ranking.has(i); ++i) {
    token.likeliest.push_back({ranking[i], logits[static_cast<std::size_t>(ranking[i])] - log_sum});
  }
  return token;
}

std::size_t most_tokens(const SearchProblem& problem) {
  const std::size_t context = problem.context.model.spec.context, prompt = problem.prompt.size();
  if (context == 0 || prompt > context) return problem.max_tokens;  // a prompt that is too long is an error of the first pass
  return std::min(problem.max_tokens, context - prompt + 1);
}

}  // namespace vitrine
