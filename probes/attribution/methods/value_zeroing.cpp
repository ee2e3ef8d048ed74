#include <algorithm>
#include <cmath>
#include <deque>

#include "core/base/error.h"
#include "probes/attribution/attribution.h"
#include "probes/patching/point_values.h"

// Value zeroing (Mohebbi, Zuidema, Chrupala & Alishahi 2023, arXiv:2301.12971). In a block, C[i, j] is the cosine distance between what
// the block puts out in row i and what it puts out with the values of row j zeroed in all heads, rows divided by their sums. Blocks are
// put together by rollout, C_last ... C_first; a token's score is its share in the row of the position. It looks at the rows alone:
// target and number do not count.

namespace vitrine {
namespace {

/// Zeroes the values of row `sequence` of each sequence in one block.
class ZeroedValue : public Observer {
 public:
  explicit ZeroedValue(const ProbePoint& point) : point_(point) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].position != rows[r].sequence) continue;
      for (std::size_t h = 0; h < values.extent(1); ++h) std::fill_n(&values(r, h, 0), values.extent(2), 0.0f);
    }
  }

 private:
  ProbePoint point_;
};

/// Cosine distances of each sequence's rows to those of the run without zeroed values.
class Distances : public Observer {
 public:
  Distances(const ProbePoint& point, TensorView<const float, 2> plain) : point_(point), plain_(plain), distances_(plain.extent(0) * plain.extent(0), 0.0) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::read : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      double product = 0.0, a = 0.0, b = 0.0;
      for (std::size_t c = 0; c < values.extent(2); ++c) {
        const double x = values(r, 0, c), y = plain_(rows[r].position, c);
        product += x * y;
        a += x * x;
        b += y * y;
      }
      distances_[rows[r].position * plain_.extent(0) + rows[r].sequence] = 1.0 - product / std::sqrt(a * b);
    }
  }
  /// [row, zeroed row], rows divided by their sums.
  std::vector<double> shares() const {
    std::vector<double> shares = distances_;
    const std::size_t count = plain_.extent(0);
    for (std::size_t i = 0; i < count; ++i) {
      double sum = 0.0;
      for (std::size_t j = 0; j < count; ++j) sum += shares[i * count + j];
      for (std::size_t j = 0; j < count && sum > 0.0; ++j) shares[i * count + j] /= sum;
    }
    return shares;
  }

 private:
  ProbePoint point_;
  TensorView<const float, 2> plain_;
  std::vector<double> distances_;  // [row, zeroed row]
};

/// What a block puts out: behind the norm where that ends it.
Site output_of(const BlockSpec& block) { return block.placement == NormPlacement::post ? Site::ln2_normalized : Site::resid_post; }

class Zeroing {
 public:
  explicit Zeroing(const AttributionInput& input)
      : input_(input), spec_(input.runner.model.spec), text_(input.question.text), values_(kept()), cache_(spec_, input.runner.kv_format) {
    Observer* observers[] = {&values_};
    const TapPlan taps(spec_, observers);
    const Segment segment{.ids = text_.ids, .types = text_.types, .cache = spec_.causal() ? &cache_ : nullptr};
    forward(input.runner.context(taps), {&segment, 1}, {});
  }

  /// C of a block, [row, zeroed row].
  std::vector<double> shares(std::size_t index) {
    Model model = input_.runner.model;  // one that ends with the block: nobody asks for what comes behind
    model.spec.blocks.resize(index + 1);
    model.spec.has_head = model.spec.final_norm = false;
    ZeroedValue zeroed(at(index, Site::v));
    Distances distances(at(index, output_of(spec_.blocks[index])), values_.matrix(at(index, output_of(spec_.blocks[index]))));
    Observer* observers[] = {&zeroed, &distances};
    const TapPlan taps(model.spec, observers);
    const ModelRunner& runner = input_.runner;
    const std::size_t count = text_.ids.size();
    for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
      end = pass_end(begin, count, [&](std::size_t zeroed) { return count - first_row(zeroed); });
      std::vector<Segment> segments;
      for (std::size_t i = begin; i < end; ++i) segments.push_back(from_zeroed(index, i, i - begin));
      forward({model, runner.ops, runner.kernel, runner.workspace, runner.run, taps}, segments, {});
    }
    return distances.shares();
  }

 private:
  ProbePoint at(std::size_t index, Site site) const { return {.stack = spec_.stack, .block = static_cast<int>(index), .site = site}; }
  /// Under a causal mask rows before the zeroed one are what they were.
  std::size_t first_row(std::size_t zeroed) const { return spec_.causal() ? zeroed : 0; }
  /// The rows that a zeroed one may change, before one block. @param place  among those of its pass
  Segment from_zeroed(std::size_t index, std::size_t zeroed, std::size_t place) {
    const std::size_t first = first_row(zeroed);
    const TensorView<const float, 2> stream = values_.matrix(at(index, Site::resid_pre));
    Segment segment{.sequence = static_cast<std::uint32_t>(zeroed), .ids = std::span(text_.ids).subspan(first), .types = text_.types, .first_block = index,
                    .residual = stream.slice(first, stream.extent(0) - first)};
    if (!segment.types.empty()) segment.types = segment.types.subspan(first);
    if (!spec_.causal()) return segment;
    while (caches_.size() <= place) caches_.emplace_back(spec_, input_.runner.kv_format);
    caches_[place].truncate(0);
    segment.cache = &caches_[place];
    segment.shared_from = &cache_;
    segment.shared = first;
    return segment;
  }
  std::vector<ProbePoint> kept() const {
    std::vector<ProbePoint> points;
    for (std::size_t i = 0; i < spec_.blocks.size(); ++i) {
      points.push_back(at(i, Site::resid_pre));
      points.push_back(at(i, output_of(spec_.blocks[i])));
    }
    return points;
  }

  const AttributionInput& input_;
  const ModelSpec& spec_;
  const ModelText& text_;
  PointValues values_;
  KvCache cache_;               // of the text as it is
  std::deque<KvCache> caches_;  // whose places in memory stay
};

AttributionResult run(const AttributionInput& input) {
  const ModelSpec& spec = input.runner.model.spec;
  if (!spec.encoder.empty() || spec.query_stream) throw Error({"--method value_zeroing", "a model of one stack and one stream", spec.architecture, ""}, Fault::usage);
  Zeroing zeroing(input);
  const std::size_t count = input.question.text.ids.size();
  std::vector<double> row(count, 0.0);
  row[input.question.position] = 1.0;
  for (std::size_t index = spec.blocks.size(); index-- > 0;) {
    input.runner.run.step("value zeroing", spec.blocks.size() - 1 - index, spec.blocks.size());
    const std::vector<double> shares = zeroing.shares(index);
    std::vector<double> next(count, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) next[j] += row[i] * shares[i * count + j];
    }
    row = next;
  }
  input.runner.run.step("value zeroing", spec.blocks.size(), spec.blocks.size());
  const EmbeddedText text(input);
  return {.scores = row, .value = text.values({&text.embeddings(), 1}).front()};
}

}  // namespace

const Attribution& attribution_value_zeroing() {
  static const Attribution method{"value_zeroing", "how far rows move when a token's values are zeroed, rolled out", "Mohebbi et al. 2023, arXiv:2301.12971", "share", run, false};
  return method;
}

}  // namespace vitrine
