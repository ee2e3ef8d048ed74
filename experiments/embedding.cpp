#include "experiments/embedding.h"

#include <cmath>

#include "core/base/error.h"

namespace vitrine {
namespace {

double length_of(std::span<const double> values) {
  double squares = 0.0;
  for (const double value : values) squares += value * value;
  return std::max(std::sqrt(squares), 1e-300);
}

}  // namespace

std::vector<double> sequence_embedding(Session& session, std::span<const TokenId> ids, Pooling pooling, bool normalize) {
  VITRINE_CHECK(!ids.empty());
  const std::vector<TokenId> sequence(ids.begin(), ids.end());
  return sequence_embeddings(session, {&sequence, 1}, {pooling, normalize}).front();
}

std::vector<std::vector<double>> sequence_embeddings(Session& session, std::span<const std::vector<TokenId>> sequences,
                                                     const EmbeddingRequest& request) {
  VITRINE_CHECK(request.pooling != Pooling::none);
  const bool mean = request.pooling == Pooling::mean;
  std::vector<std::vector<double>> sums;
  for (const auto& ids : sequences) sums.emplace_back(ids.empty() ? 0 : session.model().spec.width, 0.0);
  ForwardSinks sinks;
  sinks.hidden = [&](std::span<const RowRef> rows, TensorView<const float, 2> hidden) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::vector<double>& sum = sums[rows[r].sequence];
      const std::size_t last = sequences[rows[r].sequence].size() - 1;
      const bool wanted = mean || rows[r].position == (request.pooling == Pooling::cls ? 0 : last);
      for (std::size_t c = 0; wanted && c < sum.size(); ++c) sum[c] += hidden(r, c);
    }
  };
  std::size_t begin = 0;
  for (const std::size_t end : batch_ends(sequences)) {
    const auto batch = sequences.subspan(begin, end - begin);
    if (session.has_encoder()) session.encode_batch(batch, {}, sinks, static_cast<std::uint32_t>(begin));
    else session.run_batch(batch, {}, sinks, static_cast<std::uint32_t>(begin));
    session.run().step("embed", end, sequences.size());
    begin = end;
  }
  for (std::size_t s = 0; s < sums.size(); ++s) {
    const double length = request.normalize ? length_of(sums[s]) : mean ? static_cast<double>(sequences[s].size()) : 1.0;
    for (double& value : sums[s]) value /= length;
  }
  return sums;
}

}  // namespace vitrine
