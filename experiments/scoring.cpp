#include "experiments/scoring.h"

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t batch_rows = 512;

using Scores = std::vector<std::optional<double>>;

struct Progress {
  std::string_view task;
  std::size_t done = 0, total = 0;  // rows
};

void score_batch(Session& session, std::span<const std::vector<TokenId>> sequences, std::span<Scores> scores, Progress& progress) {
  std::vector<KvCache> caches;
  caches.reserve(sequences.size());
  std::vector<Segment> segments;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    caches.push_back(session.new_cache());
    segments.push_back({.sequence = static_cast<std::uint32_t>(s), .ids = sequences[s], .types = {}, .cache = &caches.back()});
  }
  ForwardSinks sinks;
  sinks.logit_rows = LogitRows::all;
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    session.ops().pool().run(rows.size(), [&](std::size_t r, std::size_t) {
      const std::vector<TokenId>& ids = sequences[rows[r].sequence];
      const std::size_t next = rows[r].position + 1;
      if (next >= ids.size()) return;
      scores[rows[r].sequence][next] = session.ops().log_probability({&logits(r, 0), logits.extent(1)}, static_cast<std::size_t>(ids[next]));
    });
    progress.done += rows.size();
    session.run().step(progress.task, progress.done, progress.total);
  };
  const TapPlan taps;
  forward({session.model(), session.ops(), session.kernel(), session.workspace(), session.run(), taps}, segments, sinks);
}

}  // namespace

void require_next_token_model(const Model& model) {
  if (model.spec.has_head && model.spec.causal()) return;
  throw Error({model.path.string(), "a model that predicts the next token", model.spec.architecture, ""});
}

std::vector<Scores> token_log_probabilities(Session& session, std::span<const std::vector<TokenId>> sequences, std::string_view task) {
  std::vector<Scores> scores;
  Progress progress{.task = task};
  for (const auto& ids : sequences) {
    scores.emplace_back(ids.size());
    progress.total += ids.size();
  }
  for (std::size_t begin = 0; begin < sequences.size();) {
    std::size_t end = begin, rows = 0;
    while (end < sequences.size() && (end == begin || rows + sequences[end].size() <= batch_rows)) rows += sequences[end++].size();
    score_batch(session, sequences.subspan(begin, end - begin), std::span(scores).subspan(begin, end - begin), progress);
    begin = end;
  }
  return scores;
}

std::vector<std::optional<double>> windowed_log_probabilities(Session& session, std::span<const TokenId> ids, const Windows& windows) {
  VITRINE_CHECK(windows.window > 1 && windows.stride > 0 && windows.stride < windows.window);
  std::vector<std::vector<TokenId>> pieces;
  for (std::size_t begin = 0; begin == 0 || begin + windows.window - windows.stride < ids.size(); begin += windows.stride) {
    const auto piece = ids.subspan(begin, std::min(windows.window, ids.size() - begin));
    pieces.emplace_back(piece.begin(), piece.end());
  }
  const auto scores = token_log_probabilities(session, pieces, "score");
  Scores result(ids.size());
  for (std::size_t w = 0; w < pieces.size(); ++w) {
    for (std::size_t i = 1; i < pieces[w].size(); ++i) {
      std::optional<double>& place = result[w * windows.stride + i];
      if (!place) place = scores[w][i];
    }
  }
  return result;
}

}  // namespace vitrine
