#include "probes/patching/attribution_patching.h"

#include <string>

#include "core/base/error.h"
#include "core/train/gradients.h"

namespace vitrine {
namespace {

/// Keeps the derivatives at the points of a sweep, row by row.
class SweptGradients : public GradientReader {
 public:
  SweptGradients(const SweepPoint& point, std::size_t rows) : point_(point), rows_(rows) {}
  bool wants(const ProbePoint& point) const override {
    return point.stack == point_.stack && point.stream == Stream::content && point.role == point_.role && point.site == point_.site && point.block >= 0;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<const float, 3> gradient) override {
    std::vector<std::vector<float>>& kept = kept_[point.block];
    kept.resize(rows_);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t h = 0; h < gradient.extent(1); ++h) {
        for (std::size_t i = 0; i < gradient.extent(2); ++i) kept[rows[r].position].push_back(gradient(r, h, i));
      }
    }
  }
  /// [width] of one head of a row
  std::span<const float> row(std::size_t block, std::size_t position, std::size_t head, std::size_t heads) const {
    const std::vector<float>& all = kept_.at(static_cast<int>(block))[position];
    return std::span(all).subspan(head * (all.size() / heads), all.size() / heads);
  }

 private:
  SweepPoint point_;
  std::size_t rows_;
  std::map<int, std::vector<std::vector<float>>> kept_;
};

/// Sum of slope * (other - own); where both are -inf (masked scores) nothing moves.
double first_order(std::span<const float> slope, std::span<const float> other, std::span<const float> own) {
  double sum = 0.0;
  for (std::size_t i = 0; i < slope.size(); ++i) {
    if (other[i] != own[i]) sum += static_cast<double>(slope[i]) * (static_cast<double>(other[i]) - own[i]);
  }
  return sum;
}

}  // namespace

PatchSweep attribution_patch(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point) {
  if (runner.ops.precision() != Precision::exact) {
    throw Error({"--method attribution", "--precision exact: derivatives are those of f32", std::string(precision_name(runner.ops.precision())), ""}, Fault::usage);
  }
  const SourceRun own = run_source(runner, base, point);
  const ModelSpec& stack = *stack_of(runner.model.spec, {.stack = point.stack});
  const std::size_t length = point.stack == Stack::encoder ? base.text.source.size() : base.text.ids.size();
  const auto at = [&](std::size_t block) { return ProbePoint{.stack = point.stack, .role = point.role, .block = static_cast<int>(block), .site = point.site}; };
  const std::size_t rows = own.values.rows(at(0)), heads = own.values.heads(at(0));
  if (source.values.rows(at(0)) != rows) {
    throw Error({"text", std::to_string(source.values.rows(at(0))) + " tokens, as the text that values are taken from", std::to_string(rows), "give texts of one length in tokens"}, Fault::usage);
  }
  SweptGradients gradients(point, rows);
  const GradientText texts[] = {{.ids = base.text.ids, .source = base.text.source, .types = base.text.types}};
  const double difference = differentiate({runner.model, runner.ops, runner.kernel, runner.run}, texts,
                                          logit_difference({0, static_cast<std::uint32_t>(base.position)}, base.answer, base.wrong), gradients);
  PatchSweep sweep{.base = difference, .source = source.difference, .layers = stack.blocks.size(),
                   .columns = point.unit == PatchUnit::position ? length : point.unit == PatchUnit::head ? heads : heads * length, .patched = {}, .passes = 2};
  for (std::size_t block = 0; block < sweep.layers; ++block) {
    std::vector<double> moved(sweep.columns, 0.0);
    for (std::size_t head = 0; head < heads; ++head) {
      for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t column = point.unit == PatchUnit::position ? row : point.unit == PatchUnit::head ? head : head * length + row;
        moved[column] += first_order(gradients.row(block, row, head, heads), source.values.row(at(block), row, head), own.values.row(at(block), row, head));
      }
    }
    for (const double change : moved) sweep.patched.push_back(difference + change);
  }
  return sweep;
}

}  // namespace vitrine
