#include "probes/attribution/attribution.h"

#include <algorithm>
#include <boost/math/special_functions/legendre.hpp>
#include <numeric>
#include <string>

#include "core/base/error.h"
#include "probes/patching/base_run_internal.h"

namespace vitrine {
namespace {

/// Puts other embeddings in the place of the model's: those of sequence i are version i.
class Replacing : public Observer {
 public:
  Replacing(const ProbePoint& point, std::span<const Numbers> versions) : point_(point), versions_(versions) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const Numbers& version = versions_[rows[r].sequence];
      std::copy_n(version.data.data() + rows[r].position * version.cols, version.cols, &values(r, 0, 0));
    }
  }

 private:
  ProbePoint point_;
  std::span<const Numbers> versions_;
};

/// Derivatives by embeddings, [tokens, width] of each sequence.
class EmbeddingSlopes : public GradientReader {
 public:
  EmbeddingSlopes(const ProbePoint& point, std::size_t sequences, const Numbers& shape) : gradients(sequences, shape), point_(point) {}
  bool wants(const ProbePoint& point) const override { return point == point_; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<const float, 3> gradient) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      Numbers& target = gradients[rows[r].sequence];
      std::copy_n(&gradient(r, 0, 0), target.cols, target.data.data() + rows[r].position * target.cols);
    }
  }
  std::vector<Numbers> gradients;

 private:
  ProbePoint point_;
};

/// Keeps the embeddings of sequence 0.
class Embeddings : public Observer {
 public:
  Embeddings(const ProbePoint& point, Numbers& target) : point_(point), target_(target) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::read : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    target_.cols = values.extent(2);
    for (std::size_t r = 0; r < rows.size(); ++r) target_.data.insert(target_.data.end(), &values(r, 0, 0), &values(r, 0, 0) + target_.cols);
    target_.rows += rows.size();
  }

 private:
  ProbePoint point_;
  Numbers& target_;
};

GradientText gradient_text(const ModelText& text) { return {.ids = text.ids, .source = text.source, .types = text.types}; }

void check_token(const ModelSpec& spec, const char* flag, TokenId id) {
  if (id >= 0 && static_cast<std::size_t>(id) < spec.vocabulary) return;
  throw Error({flag, "a token id from 0 to " + std::to_string(spec.vocabulary - 1), std::to_string(id), ""}, Fault::usage);
}

}  // namespace

Numbers between(const Numbers& x, const Numbers& y, double a) {
  Numbers mixed = x;
  for (std::size_t i = 0; i < x.data.size(); ++i) mixed.data[i] = static_cast<float>(a * x.data[i] + (1 - a) * y.data[i]);
  return mixed;
}

std::vector<double> products_by_row(const Numbers& g, const Numbers& x, const Numbers& y) {
  std::vector<double> sums(g.rows, 0.0);
  for (std::size_t i = 0; i < g.data.size(); ++i) sums[i / g.cols] += static_cast<double>(g.data[i]) * (static_cast<double>(x.data[i]) - y.data[i]);
  return sums;
}

std::vector<QuadraturePoint> gauss_legendre(std::size_t count) {
  const auto degree = static_cast<int>(count);
  std::vector<QuadraturePoint> points;
  for (const double zero : boost::math::legendre_p_zeros<double>(degree)) {  // from 0 up; the others mirror them
    const double slope = boost::math::legendre_p_prime(degree, zero), weight = 1 / ((1 - zero * zero) * slope * slope);
    points.push_back({(1 + zero) / 2, weight});
    if (zero > 0) points.push_back({(1 - zero) / 2, weight});
  }
  return points;
}

EmbeddedText::EmbeddedText(const AttributionInput& input) : input_(input) {
  Embeddings collector(point(), embeddings_);
  Observer* observers[] = {&collector};
  run_texts(input.runner, {&input.question.text, 1}, observers, {});
}

ProbePoint EmbeddedText::point() const {
  const ModelSpec& spec = input_.runner.model.spec;
  return {.stack = spec.encoder.empty() ? spec.stack : Stack::encoder, .site = Site::embed};
}

Numbers EmbeddedText::baseline() const {
  Numbers base{embeddings_.rows, embeddings_.cols, std::vector<float>(embeddings_.data.size(), 0.0f)};
  if (input_.options.baseline == BaselineKind::zero) return base;
  std::vector<float> row(base.cols, 0.0f);
  if (input_.options.baseline == BaselineKind::mean) {
    for (std::size_t i = 0; i < embeddings_.data.size(); ++i) row[i % base.cols] += embeddings_.data[i] / static_cast<float>(base.rows);
  } else {
    const ModelSpec& model = input_.runner.model.spec;
    const ModelSpec& spec = model.encoder.empty() ? model : model.encoder.front();
    const TokenId ids[] = {input_.options.baseline_token};
    check_token(spec, "--baseline", ids[0]);
    input_.runner.ops.gather(input_.runner.model.weights.at({Role::token_embedding, -1, false, spec.stack}), ids, spec.embedding_scale, {row.data(), {1, base.cols}});
  }
  for (std::size_t r = 0; r < base.rows; ++r) std::ranges::copy(row, base.data.begin() + static_cast<std::ptrdiff_t>(r * base.cols));
  return base;
}

/// @param values  of each sequence, filled in
Objective EmbeddedText::objective(std::vector<double>& values) const {
  const AttributionQuestion& question = input_.question;
  const auto position = static_cast<std::uint32_t>(question.position);
  const Objective of_one = question.number == AttributedNumber::logit ? logit_difference({0, position}, question.target, question.against)
                                                                      : log_probability_of({0, position}, question.target);
  Objective objective;
  objective.wants = [position](const RowRef& row) { return row.position == position; };
  objective.of_logits = [&values, of = of_one.of_logits](const RowRef& row, std::span<const float> logits, std::span<float> slope) {
    return values.at(row.sequence) = of(row, logits, slope);
  };
  return objective;
}

std::vector<double> EmbeddedText::values(std::span<const Numbers> versions) const {
  std::vector<double> values(versions.size(), 0.0);
  const Objective number = objective(values);
  Replacing replacing(point(), versions);
  Observer* observers[] = {&replacing};
  ForwardSinks sinks{.logit_rows = LogitRows::wanted, .wants_logits = number.wants};
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    std::vector<float> slope(logits.extent(1));
    for (std::size_t r = 0; r < rows.size(); ++r) number.of_logits(rows[r], {&logits(r, 0), logits.extent(1)}, slope);
  };
  run_texts(input_.runner, std::vector<ModelText>(versions.size(), input_.question.text), observers, sinks);
  return values;
}

EmbeddedText::WithoutEach EmbeddedText::without_each(const Numbers& base) const {
  const ModelRunner& runner = input_.runner;
  const ModelText& text = input_.question.text;
  const SweepPoint sweep{.stack = point().stack, .site = Site::resid_pre, .unit = PatchUnit::position};
  // What enters the first block is made of each embedding by itself, so that one run has the rows of all replacements.
  PointValues entering({point_of(sweep, 0, Site::resid_pre)});
  Replacing replacing(point(), {&base, 1});
  Observer* observers[] = {&replacing, &entering};
  run_texts(runner, {&text, 1}, observers, {});
  std::vector<double> values(1, 0.0);
  const Objective number = objective(values);
  const auto value = [&](std::size_t position, std::span<const float> logits) {
    std::vector<float> slope(logits.size());
    return number.of_logits({0, static_cast<std::uint32_t>(position)}, logits, slope);
  };
  BaseRun run(runner, text, {input_.question.position, input_.question.position, value}, sweep);
  std::vector<Cell> cells;
  for (std::size_t t = 0; t < base.rows; ++t) cells.push_back({0, t, {}});
  WithoutEach result{run.number(), {}};
  result.without = run.run(cells, 0, [&](std::span<const Cell> batch) { return std::make_unique<PatchedCells>(sweep, entering, batch); });
  return result;
}

EmbeddedText::Slopes EmbeddedText::slopes(std::span<const Numbers> versions) const {
  const ModelRunner& runner = input_.runner;
  const ModelText& text = input_.question.text;
  const std::size_t together = std::max<std::size_t>(1, max_rows / std::max(text.ids.size(), text.source.size()));
  Slopes all;
  for (std::size_t begin = 0; begin < versions.size(); begin += together) {
    const std::span<const Numbers> some = versions.subspan(begin, std::min(together, versions.size() - begin));
    runner.run.step("gradients", begin, versions.size());
    Replacing replacing(point(), some);
    Observer* observers[] = {&replacing};
    EmbeddingSlopes reader(point(), some.size(), embeddings_);
    std::vector<double> values(some.size(), 0.0);
    const std::vector<GradientText> texts(some.size(), gradient_text(text));
    differentiate({runner.model, runner.ops, runner.kernel, runner.run, observers}, texts, objective(values), reader);
    all.values.insert(all.values.end(), values.begin(), values.end());
    std::ranges::move(reader.gradients, std::back_inserter(all.gradients));
  }
  runner.run.step("gradients", versions.size(), versions.size());
  return all;
}

EmbeddedText::Multipliers EmbeddedText::multipliers(const Numbers& from, const Numbers& to) const {
  const ModelRunner& runner = input_.runner;
  EmbeddingSlopes reader(point(), 1, embeddings_);
  std::vector<double> values(1, 0.0);
  const GradientText texts[] = {gradient_text(input_.question.text)};
  const auto run = [&](const Numbers& version) {
    Replacing replacing(point(), {&version, 1});
    Observer* observers[] = {&replacing};
    return std::make_unique<TapedPass>(GradientContext{runner.model, runner.ops, runner.kernel, runner.run, observers}, texts, objective(values), reader);
  };
  const auto pass_to = run(to), pass_from = run(from);
  pass_from->pull_back_to(*pass_to);
  return {pass_from->value(), pass_to->value(), std::move(reader.gradients.front())};
}

const Attribution& find_attribution(std::string_view name) {
  std::string known;
  for (const Attribution* method : all_attributions()) {
    if (method->name == name) return *method;
    known += (known.empty() ? "" : ", ") + std::string(method->name);
  }
  throw Error({"--method", known, quoted(name), ""}, Fault::usage);
}

AttributionResult attribute(const Attribution& method, const AttributionInput& input) {
  const ModelSpec& spec = input.runner.model.spec;
  const AttributionQuestion& question = input.question;
  if (!spec.has_head) throw Error({spec.name, "a model with token logits", "none", "choose another model"});
  if (method.by_derivatives && input.runner.ops.precision() != Precision::exact) throw Error({"--precision", "exact: derivatives are those of f32", std::string(precision_name(input.runner.ops.precision())), ""}, Fault::usage);
  if (question.position >= question.text.ids.size()) {
    throw Error({"--position", "a row of the text, 0 to " + std::to_string(question.text.ids.size() - 1), std::to_string(question.position), ""}, Fault::usage);
  }
  check_token(spec, "--target", question.target);
  if (question.against >= 0) check_token(spec, "--against", question.against);
  if (question.against >= 0 && question.number == AttributedNumber::log_probability) {
    throw Error({"--against", "a difference of logits", "log-probability", "leave out one of them: a difference of log-probabilities is one of logits"}, Fault::usage);
  }
  if (input.options.steps == std::size_t{0}) throw Error({"--steps", "at least 1", "0", ""}, Fault::usage);
  return method.run(input);
}

}  // namespace vitrine
