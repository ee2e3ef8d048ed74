#include "experiments/scoring.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <unordered_map>

#include "core/base/error.h"
#include "probes/top_logits.h"

namespace vitrine {
namespace {

using Sequences = std::span<const std::vector<TokenId>>;

/// @param logits  [vocabulary]
TokenScore score_of(Ops& ops, std::span<const float> logits, TokenId next, std::size_t likeliest) {
  TokenScore score{ops.log_probability(logits, static_cast<std::size_t>(next)), {}};
  if (likeliest == 0) return score;
  std::vector<std::int32_t> ids(likeliest);
  std::vector<float> values(likeliest);
  largest_logits(logits, ids, values);
  // log P(i) = logit_i - log_sum_exp, and the token itself tells what that is.
  const double log_sum_exp = logits[static_cast<std::size_t>(next)] - *score.log_probability;
  for (std::size_t k = 0; k < likeliest; ++k) score.likeliest.push_back({ids[k], values[k] - log_sum_exp});
  return score;
}

constexpr std::size_t most_cached_rows = 8 * max_rows;  // of a batch, those of shared beginnings counted again
constexpr std::size_t least_cache_rows = 64;

/// One sequence of a batch and what it shares with the one before it: that part of it is not computed again.
struct Member {
  std::size_t sequence;
  std::size_t shared;  // leading tokens
};
using Batch = std::vector<Member>;

/// Batches of at most max_rows rows that are computed (a longer sequence stands alone). In the alphabetical order of the
/// tokens every sequence shares most with the one before it.
std::vector<Batch> batches_of(Sequences sequences) {
  std::vector<std::size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return sequences[a] < sequences[b]; });
  std::vector<Batch> batches;
  std::size_t rows = 0, cached = 0;
  for (const std::size_t sequence : order) {
    const std::vector<TokenId>& ids = sequences[sequence];
    std::size_t shared = 0;
    if (!batches.empty()) {
      const std::vector<TokenId>& before = sequences[batches.back().back().sequence];
      shared = static_cast<std::size_t>(std::ranges::mismatch(ids, before).in1 - ids.begin());
    }
    const std::size_t in_cache = std::max(ids.size(), least_cache_rows);
    const bool fits = rows + ids.size() - shared <= max_rows && cached + in_cache <= most_cached_rows;
    if (batches.empty() || !fits) {
      batches.emplace_back();
      rows = cached = shared = 0;
    }
    batches.back().push_back({sequence, shared});
    rows += ids.size() - shared;
    cached += in_cache;
  }
  return batches;
}

/// Tokens of a member that have a score of their own.
std::size_t own_scores(Sequences sequences, const Member& member) {
  const std::size_t first = std::max<std::size_t>(member.shared, 1), size = sequences[member.sequence].size();
  return size > first ? size - first : 0;
}

/// Scores of the sequences of one batch.
class BatchScorer {
 public:
  BatchScorer(Session& session, Sequences sequences, const Batch& batch, std::size_t likeliest)
      : session_(session), sequences_(sequences), batch_(batch), likeliest_(likeliest), asked_(batch.size()) {
    for (std::size_t place = 0; place < batch.size(); ++place) {
      places_[batch[place].sequence] = place;
      const std::size_t size = ids_of(place).size();
      // The row before the first token that is its own belongs to whoever computes it.
      for (std::size_t next = size - own_scores(sequences, batch[place]); next < size; ++next) {
        asked_[owner(place, next - 1)].push_back({next - 1, place});
      }
    }
    for (auto& questions : asked_) std::ranges::stable_sort(questions, {}, &Question::position);
  }

  /// @param answered  is told how many scores were found
  void run(std::vector<std::vector<TokenScore>>& scores, const std::function<void(std::size_t)>& answered) {
    std::vector<Segment> segments;
    for (std::size_t place = 0; place < batch_.size(); ++place) {
      Segment segment{.sequence = static_cast<std::uint32_t>(batch_[place].sequence), .ids = std::span(ids_of(place)).subspan(batch_[place].shared)};
      segment.cache = &session_.empty_cache(place);
      segment.shared = batch_[place].shared;
      if (segment.shared > 0) segment.shared_from = &session_.empty_cache(owner(place, segment.shared - 1));
      segments.push_back(segment);
    }
    ForwardSinks sinks;
    sinks.logit_rows = LogitRows::wanted;
    sinks.wants_logits = [&](const RowRef& row) { return !at(row).empty(); };
    sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
      session_.ops().pool().run(rows.size(), [&](std::size_t r, std::size_t) {
        for (const Question& question : at(rows[r])) {
          const std::size_t next = question.position + 1;
          scores[batch_[question.place].sequence][next] =
              score_of(session_.ops(), {&logits(r, 0), logits.extent(1)}, ids_of(question.place)[next], likeliest_);
        }
      });
      std::size_t count = 0;
      for (const RowRef& row : rows) count += at(row).size();
      answered(count);
    };
    session_.run_segments(segments, {}, sinks);
    for (std::size_t place = 1; place < batch_.size(); ++place) {
      const auto& before = scores[batch_[place - 1].sequence];
      std::copy_n(before.begin(), batch_[place].shared, scores[batch_[place].sequence].begin());
    }
  }

 private:
  /// Somebody wants to know what the token behind `position` scores in the sequence at `place`.
  struct Question {
    std::size_t position, place;
  };
  const std::vector<TokenId>& ids_of(std::size_t place) const { return sequences_[batch_[place].sequence]; }
  /// Who computes the row at `position` of the sequence at `place`.
  std::size_t owner(std::size_t place, std::size_t position) const {
    while (position < batch_[place].shared) --place;
    return place;
  }
  std::span<const Question> at(const RowRef& row) const {
    const auto found = std::ranges::equal_range(asked_[places_.at(row.sequence)], row.position, {}, &Question::position);
    return {found.begin(), found.end()};
  }

  Session& session_;
  Sequences sequences_;
  const Batch& batch_;
  std::size_t likeliest_;
  std::unordered_map<std::size_t, std::size_t> places_;  // of the sequences
  std::vector<std::vector<Question>> asked_;             // of the rows that each place computes, by position
};

std::vector<std::vector<TokenScore>> scores_of(Session& session, Sequences sequences, const ScoreRequest& request) {
  std::vector<std::vector<TokenScore>> scores;
  for (const auto& ids : sequences) scores.emplace_back(ids.size());
  const std::vector<Batch> batches = batches_of(sequences);
  std::size_t done = 0, total = 0;
  for (const Batch& batch : batches) {
    for (const Member& member : batch) total += own_scores(sequences, member);
  }
  for (const Batch& batch : batches) {
    BatchScorer(session, sequences, batch, request.likeliest).run(scores, [&](std::size_t count) {
      session.run().step(request.task, done += count, total);
    });
  }
  return scores;
}

/// Where the windows of a sequence begin.
std::vector<std::size_t> window_begins(std::size_t tokens, const Windows& windows) {
  std::vector<std::size_t> begins;
  for (std::size_t begin = 0; begin == 0 || begin + windows.window - windows.stride < tokens; begin += windows.stride) begins.push_back(begin);
  return begins;
}

}  // namespace

void require_next_token_model(const Model& model) {
  if (model.spec.has_head && model.spec.causal()) return;
  throw Error({model.path.string(), "a model that predicts the next token", model.spec.architecture, ""});
}

std::vector<std::vector<std::optional<double>>> token_log_probabilities(Session& session, Sequences sequences, std::string_view task) {
  std::vector<std::vector<std::optional<double>>> result;
  for (const auto& scores : scores_of(session, sequences, {.task = task})) {
    auto& numbers = result.emplace_back();
    for (const TokenScore& score : scores) numbers.push_back(score.log_probability);
  }
  return result;
}

std::vector<std::vector<TokenScore>> windowed_scores(Session& session, Sequences sequences, const Windows& windows,
                                                     const ScoreRequest& request) {
  VITRINE_CHECK(windows.window > 1 && windows.stride > 0 && windows.stride < windows.window);
  std::vector<std::vector<TokenId>> pieces;
  for (const std::vector<TokenId>& ids : sequences) {
    for (const std::size_t begin : window_begins(ids.size(), windows)) {
      const auto piece = std::span(ids).subspan(begin, std::min(windows.window, ids.size() - begin));
      pieces.emplace_back(piece.begin(), piece.end());
    }
  }
  auto scores = scores_of(session, pieces, request);
  std::vector<std::vector<TokenScore>> result;
  std::size_t piece = 0;
  for (const std::vector<TokenId>& ids : sequences) {
    auto& whole = result.emplace_back(ids.size());
    for (const std::size_t begin : window_begins(ids.size(), windows)) {
      for (std::size_t i = 1; i < scores[piece].size(); ++i) {
        TokenScore& place = whole[begin + i];
        if (!place.log_probability) place = std::move(scores[piece][i]);
      }
      ++piece;
    }
  }
  return result;
}

std::vector<std::vector<TokenScore>> target_scores(Session& session, const std::vector<TokenId>& source, Sequences targets,
                                                   const ScoreRequest& request) {
  session.encode_batch({&source, 1}, {}, {});
  std::vector<std::vector<TokenScore>> result;
  for (const std::vector<TokenId>& ids : targets) {
    auto& scores = result.emplace_back(ids.size());
    ForwardSinks sinks{.logit_rows = LogitRows::wanted};
    sinks.wants_logits = [&](const RowRef& row) { return row.position + 1 < ids.size(); };
    sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
      session.ops().pool().run(rows.size(), [&](std::size_t r, std::size_t) {
        const std::size_t next = rows[r].position + 1;
        scores[next] = score_of(session.ops(), {&logits(r, 0), logits.extent(1)}, ids[next], request.likeliest);
      });
    };
    session.run_sequence(ids, {}, sinks);
    session.run().step(request.task, result.size(), targets.size());
  }
  return result;
}

}  // namespace vitrine
