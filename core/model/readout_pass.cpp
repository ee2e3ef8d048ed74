#include "core/model/readout_pass_internal.h"

#include <array>
#include <string>

#include "core/base/error.h"

// What is read off whole sequences: poolers and classifiers.

namespace vitrine {
namespace {

constexpr std::size_t picked_slot = 36, dense_slot = 37, label_slot = 38;  // behind those of the pass and of the logits

/// The one row of a segment that its readout is made of; none where another pass holds it.
std::optional<std::size_t> row_of(const ReadoutSpec& readout, const ModelSpec& spec, const Segment& segment, std::size_t start) {
  const std::size_t count = segment.ids.size();
  if (readout.rows == ReadoutRows::first) return start == 0 ? std::optional<std::size_t>(0) : std::nullopt;
  if (readout.rows == ReadoutRows::last) return count - 1;
  VITRINE_CHECK(readout.rows == ReadoutRows::last_end && spec.end_token);
  const std::span<const TokenId> ids = segment.source.empty() ? segment.ids : segment.source;
  for (std::size_t i = std::min(count + start, ids.size()); i-- > start;) {
    if (ids[i] == *spec.end_token) return i - start;
  }
  throw Error({"sequence " + std::to_string(segment.sequence), "an end-of-sequence token (" + std::to_string(*spec.end_token) + "), off which the labels are read", "none", ""});
}

/// A row of the readout and where it came from.
struct Picked {
  std::uint32_t sequence, position;
};

/// Rows of each segment that the readout is made of, one behind the other.
TensorView<float, 2> pick(const ForwardContext& context, const ReadoutRowsOf& of, TensorView<float, 2> hidden,
                          std::pmr::vector<Picked>& picked) {
  const ModelSpec& spec = of.pass.spec;
  const ReadoutSpec& readout = *spec.readout;
  const bool every = readout.rows == ReadoutRows::every;
  const TensorView<float, 2> rows = context.workspace.matrix(picked_slot, hidden.extent(0), spec.width);
  const auto keep = [&](std::size_t row) {
    context.ops.select(hidden, std::array{row}, rows.slice(picked.size(), 1));
    picked.push_back({of.pass.rows[row].sequence, of.pass.rows[row].position});
  };
  for (std::size_t s = 0; s < of.pass.segments.size(); ++s) {
    const Segment& segment = of.pass.segments[s];
    const std::size_t first = of.pass.first_row[s], count = segment.ids.size();
    const bool ends = of.last_ends || s + 1 < of.pass.segments.size();
    if (every) {
      for (std::size_t i = 0; i < count; ++i) keep(first + i);
    } else if (readout.rows == ReadoutRows::mean) {
      VITRINE_CHECK(ends && of.pass.positions[first] == 0);
      context.ops.mean(hidden.slice(first, count), rows.slice(picked.size(), 1));
      picked.push_back({segment.sequence, 0});
    } else if (readout.rows == ReadoutRows::first || ends) {
      const auto row = row_of(readout, spec, segment, of.pass.positions[first]);
      if (row) keep(first + *row);
    }
  }
  return rows.slice(0, picked.size());
}

}  // namespace

void read_out(const ForwardContext& context, const ReadoutRowsOf& of, TensorView<float, 2> hidden, const ForwardSinks& sinks) {
  const ModelSpec& spec = of.pass.spec;
  const ReadoutSpec& readout = *spec.readout;
  std::pmr::vector<Picked> picked(context.workspace.lists());
  TensorView<float, 2> pooled = pick(context, of, hidden, picked);
  if (picked.empty()) return;
  const auto product = [&](Role role, TensorView<float, 2> out) {
    return Product{&context.model.weights.at({role, -1, false, spec.stack}), context.model.weights.find({role, -1, true, spec.stack}), out};
  };
  if (readout.dense) {
    const TensorView<float, 2> dense = context.workspace.matrix(dense_slot, picked.size(), spec.width);
    const Product products[] = {product(Role::readout_dense, dense)};
    context.ops.multiply(pooled, products);
    context.ops.activate(*readout.dense, dense, {}, dense);
    pooled = dense;
  }
  TensorView<float, 2> labels;
  if (readout.labels > 0) {
    labels = context.workspace.matrix(label_slot, picked.size(), readout.labels);
    const Product products[] = {product(Role::readout_labels, labels)};
    context.ops.multiply(pooled, products);
  }
  for (std::size_t i = 0; i < picked.size(); ++i) {
    sinks.readout({picked[i].sequence, picked[i].position, {&pooled(i, 0), spec.width},
                   labels.empty() ? std::span<const float>() : std::span<const float>(&labels(i, 0), readout.labels)});
  }
}

}  // namespace vitrine
