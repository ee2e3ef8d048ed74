#include "experiments/scoring.h"

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

std::vector<std::vector<TokenScore>> scores_of(Session& session, Sequences sequences, const ScoreRequest& request) {
  std::vector<std::vector<TokenScore>> scores;
  std::size_t done = 0, total = 0;  // rows
  for (const auto& ids : sequences) {
    scores.emplace_back(ids.size());
    total += ids.size();
  }
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    session.ops().pool().run(rows.size(), [&](std::size_t r, std::size_t) {
      const std::vector<TokenId>& ids = sequences[rows[r].sequence];
      const std::size_t next = rows[r].position + 1;
      if (next >= ids.size()) return;
      scores[rows[r].sequence][next] = score_of(session.ops(), {&logits(r, 0), logits.extent(1)}, ids[next], request.likeliest);
    });
    done += rows.size();
    session.run().step(request.task, done, total);
  };
  std::size_t begin = 0;
  for (const std::size_t end : batch_ends(sequences)) {
    session.run_batch(sequences.subspan(begin, end - begin), {}, sinks, static_cast<std::uint32_t>(begin));
    begin = end;
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

}  // namespace vitrine
