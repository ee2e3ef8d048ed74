#include "experiments/embedding.h"

#include <cmath>

#include "core/base/error.h"

namespace vitrine {

std::vector<double> sequence_embedding(Session& session, std::span<const TokenId> ids, Pooling pooling, bool normalize) {
  VITRINE_CHECK(!ids.empty() && pooling != Pooling::none);
  std::vector<double> sum(session.model().spec.width, 0.0);
  ForwardSinks sinks;
  sinks.hidden = [&](std::span<const RowRef> rows, TensorView<const float, 2> hidden) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const bool wanted = pooling == Pooling::mean || rows[r].position == (pooling == Pooling::cls ? 0 : ids.size() - 1);
      for (std::size_t c = 0; wanted && c < sum.size(); ++c) sum[c] += hidden(r, c);
    }
  };
  session.run_sequence(ids, {}, sinks);
  double length = pooling == Pooling::mean ? static_cast<double>(ids.size()) : 1.0;
  if (normalize) {
    double squares = 0.0;
    for (const double value : sum) squares += value * value;
    length = std::max(std::sqrt(squares), 1e-300);
  }
  for (double& value : sum) value /= length;
  return sum;
}

}  // namespace vitrine
