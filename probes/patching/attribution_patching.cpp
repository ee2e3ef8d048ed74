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

/// Mixes the embeddings of two texts: a of the other's.
class MixedEmbeddings : public Observer {
 public:
  MixedEmbeddings(const ProbePoint& point, const PointValues& own, const PointValues& other, float a) : point_(point), own_(own), other_(other), a_(a) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::span<const float> own = own_.row(point_, rows[r].position), other = other_.row(point_, rows[r].position);
      for (std::size_t i = 0; i < own.size(); ++i) values(r, 0, i) = (1 - a_) * own[i] + a_ * other[i];
    }
  }

 private:
  ProbePoint point_;
  const PointValues &own_, &other_;
  float a_;
};

/// What a question's slopes at a sweep's point are summed with.
class FirstOrder {
 public:
  FirstOrder(const ModelRunner& runner, const PatchQuestion& base, const SweepPoint& point)
      : runner_(runner), base_(base), point_(point), stack_(*stack_of(runner.model.spec, {.stack = point.stack})), own_(run_source(runner, base, point)),
        rows_(own_.values.rows(at(0))), heads_(own_.values.heads(at(0))) {
    if (runner.ops.precision() == Precision::exact) return;
    throw Error({"--method attribution", "--precision exact: derivatives are those of f32", std::string(precision_name(runner.ops.precision())), ""}, Fault::usage);
  }

  std::size_t rows() const { return rows_; }
  GradientContext context(std::span<Observer* const> observers = {}) const { return {runner_.model, runner_.ops, runner_.kernel, runner_.run, observers}; }
  GradientText text(const PatchQuestion& question) const { return {.ids = question.text.ids, .source = question.text.source, .types = question.text.types}; }
  Objective objective() const { return logit_difference({0, static_cast<std::uint32_t>(base_.position)}, base_.answer, base_.wrong); }

  void require_rows(const SourceRun& source) const {
    if (source.values.rows(at(0)) == rows_) return;
    throw Error({"text", std::to_string(source.values.rows(at(0))) + " tokens, as the text that values are taken from", std::to_string(rows_), "give texts of one length in tokens"}, Fault::usage);
  }
  /// Adds `share` of the sum of slope * (source - own) of every cell.
  void add(const SweptGradients& slopes, const SourceRun& source, double share, PatchSweep& sweep) const {
    const bool by_position = point_.unit == PatchUnit::position, by_head = point_.unit == PatchUnit::head;
    for (std::size_t block = 0; block < sweep.layers; ++block) {
      for (std::size_t head = 0; head < heads_; ++head) {
        for (std::size_t row = 0; row < rows_; ++row) {
          const std::size_t column = by_position ? row : by_head ? head : head * length() + row;
          sweep.patched[block * sweep.columns + column] +=
              share * first_order(slopes.row(block, row, head, heads_), source.values.row(at(block), row, head), own_.values.row(at(block), row, head));
        }
      }
    }
  }
  /// Without effects yet.
  PatchSweep empty(const SourceRun& source) const {
    PatchSweep sweep{.base = own_.difference, .source = source.difference, .layers = stack_.blocks.size(),
                     .columns = point_.unit == PatchUnit::position ? length() : point_.unit == PatchUnit::head ? heads_ : heads_ * length(), .patched = {}, .passes = 2};
    sweep.patched.assign(sweep.layers * sweep.columns, sweep.base);
    return sweep;
  }

 private:
  std::size_t length() const { return point_.stack == Stack::encoder ? base_.text.source.size() : base_.text.ids.size(); }
  ProbePoint at(std::size_t block) const { return {.stack = point_.stack, .role = point_.role, .block = static_cast<int>(block), .site = point_.site}; }

  const ModelRunner& runner_;
  const PatchQuestion& base_;
  const SweepPoint& point_;
  const ModelSpec& stack_;
  SourceRun own_;
  std::size_t rows_, heads_;
};

}  // namespace

PatchSweep attribution_patch(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, const SweepPoint& point) {
  const FirstOrder first_order(runner, base, point);
  first_order.require_rows(source);
  SweptGradients gradients(point, first_order.rows());
  const GradientText texts[] = {first_order.text(base)};
  differentiate(first_order.context(), texts, first_order.objective(), gradients);
  PatchSweep sweep = first_order.empty(source);
  first_order.add(gradients, source, 1.0, sweep);
  return sweep;
}

PatchSweep attribution_patch_between(const ModelRunner& runner, const PatchQuestion& base, const PatchQuestion& other, const SweepPoint& point, PatchSlope slope) {
  constexpr std::size_t parts = 64;
  const FirstOrder first_order(runner, base, point);
  const SourceRun source = run_source(runner, other, point);
  first_order.require_rows(source);
  PatchSweep sweep = first_order.empty(source);
  const GradientText own_text[] = {first_order.text(base)}, other_text[] = {first_order.text(other)};
  if (slope == PatchSlope::rescaled) {
    SweptGradients secants(point, first_order.rows());
    TapedPass from(first_order.context(), own_text, first_order.objective(), secants);
    const TapedPass to(first_order.context(), other_text, first_order.objective(), secants);
    from.pull_back_to(to);
    first_order.add(secants, source, 1.0, sweep);
    return sweep;
  }
  const ModelSpec& spec = runner.model.spec;
  const ProbePoint embed{.stack = spec.encoder.empty() ? spec.stack : Stack::encoder, .site = Site::embed};
  PointValues own({embed}), others({embed});
  for (const auto& [question, values] : {std::pair{&base, &own}, std::pair{&other, &others}}) {
    Observer* observers[] = {values};
    run_texts(runner, {&question->text, 1}, observers, {});
  }
  for (std::size_t part = 0; part < parts; ++part) {
    MixedEmbeddings mixed(embed, own, others, (static_cast<float>(part) + 0.5f) / parts);
    Observer* observers[] = {&mixed};
    SweptGradients gradients(point, first_order.rows());
    differentiate(first_order.context(observers), own_text, first_order.objective(), gradients);
    first_order.add(gradients, source, 1.0 / parts, sweep);
  }
  sweep.passes = parts + 2;
  return sweep;
}

}  // namespace vitrine
