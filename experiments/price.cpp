#include "experiments/price.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/shortcuts/shortcut.h"
#include "experiments/data/pairs.h"
#include "experiments/number_range_internal.h"
#include "experiments/session.h"
#include "experiments/variant.h"
#include "kernels/kernels.h"
#include "probes/statistics/median.h"

namespace vitrine {
namespace {

constexpr std::size_t fewest_tokens = 16;

/// Sentences of the project's templates, some of every term, as texts of about `window` tokens.
std::vector<ModelText> template_texts(const Session& session, const PriceOptions& options) {
  std::vector<ModelText> texts;
  std::string text;
  std::size_t tokens = 0, at = 0;
  const std::vector<SentencePair> pairs = template_pairs().pairs;
  const std::size_t window = std::min<std::size_t>(options.window, session.model().spec.context > 0 ? session.model().spec.context : options.window);
  for (std::size_t i = 0; i < pairs.size() && tokens < options.tokens; ++i) {
    text += pairs[at].more + " ";
    at = (at + 61) % pairs.size();  // neighbours differ in a word
    std::vector<TokenId> ids = ids_of(session.model().tokenizer->encode(text, {.add_special = true, .parse_special = false}));
    if (ids.size() < window / 2) continue;
    if (ids.size() > window) ids.resize(window);
    tokens += ids.size();
    texts.push_back({std::move(ids), {}, {}});
    text.clear();
  }
  return texts;
}

/// Windows are as long as each other but for the last.
std::size_t tokens_of(std::span<const ModelText> texts) {
  std::size_t tokens = 0;
  for (const ModelText& text : texts) tokens += text.ids.size();
  return tokens;
}

std::vector<PriceColumn> columns_of(const Metric& metric, std::span<const std::vector<MetricValue>> by_text, std::span<const std::size_t> lengths) {
  std::vector<PriceColumn> columns;
  for (std::size_t c = 0; c < metric.columns.size(); ++c) {
    const MetricColumn& from = metric.columns[c];
    std::vector<double> before, after, changes;
    double weights = 0.0, mean = 0.0, mean_before = 0.0;
    for (std::size_t t = 0; t < by_text.size(); ++t) {
      const MetricValue& value = by_text[t][c];
      before.push_back(value.reference);
      after.push_back(value.variant);
      changes.push_back(value.variant - value.reference);
      const auto weight = static_cast<double>(lengths[t]);
      mean += weight * value.variant;
      mean_before += weight * value.reference;
      weights += weight;
    }
    PriceColumn column{from.pool ? "perplexity" : std::string(from.name), std::string(from.pool ? "" : from.unit), 0.0, 0.0, from.judged != Judged::as_change, {}, from.format};
    column.before = from.pool ? from.pool(before, lengths) : mean_before / weights;
    column.after = from.pool ? from.pool(after, lengths) : mean / weights;
    const DescribedAs described{std::string(from.estimate.empty() ? from.heading : from.estimate), std::string(from.unit), "window"};
    column.estimate = by_text.size() > 1 ? described_mean(described, column.is_distance ? after : changes, {}) : not_measurable(described.name, described.unit, "one window has no spread");
    columns.push_back(std::move(column));
  }
  return columns;
}

/// Median of a few products of one row, in microseconds.
double product_microseconds(Ops& ops, const Weight& weight, TensorView<const float, 2> x, TensorView<float, 2> out) {
  constexpr int rounds = 9;
  std::vector<double> times;
  const Product product{.weight = &weight, .out = out};
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    ops.multiply(x, {&product, 1});
    times.push_back(1e6 * seconds_since(start));
  }
  return median(times);
}

}  // namespace

void declare_price(CLI::App& app, PriceOptions& options) {
  CLI::Option* file = app.add_option("--eval", options.file, "a text on which the price is measured (default: the last fifth of the calibration text, or sentences of templates)")->check(some_text());
  CLI::Option* tokens = app.add_option("--eval-tokens", options.tokens, "at most so many tokens of it")->check(whole_number(32, 1u << 30));
  CLI::Option* window = app.add_option("--eval-window", options.window, "tokens that are run at once")->check(whole_number(fewest_tokens, 1u << 20));
  CLI::Option* none = app.add_flag("--no-price", options.none, "do not compare predictions");
  for (CLI::Option* option : {file, tokens, window}) none->excludes(option);
}

PriceTexts price_texts(const Session& session, const PriceOptions& options, std::vector<ModelText>& calibration) {
  PriceTexts price;
  const Model& model = session.model();
  if (!model.spec.has_head || !model.tokenizer || session.has_encoder()) return price;
  std::string from = "template sentences, version 1", hash;
  if (!options.file.empty()) {
    price.texts = calibration_texts(session, {options.file, options.tokens, options.window, "--eval"}, hash);
    from = "the file of --eval";
  } else if (calibration.size() >= 5) {
    const std::size_t held = calibration.size() / 5;
    price.texts.assign(calibration.end() - static_cast<std::ptrdiff_t>(held), calibration.end());
    calibration.resize(calibration.size() - held);
    while (price.texts.size() > 1 && tokens_of(price.texts) > options.tokens) price.texts.pop_back();
    from = "the last fifth of the calibration text, held out";
  } else {
    price.texts = template_texts(session, options);
  }
  std::erase_if(price.texts, [](const ModelText& text) { return text.ids.size() < 2; });
  price.protocol.set("texts", from).set("windows", static_cast<std::uint64_t>(price.texts.size())).set("tokens", static_cast<std::uint64_t>(tokens_of(price.texts)));
  price.protocol.set("scored", "every token but the first of a window, given those before it in the window").set("precision", "exact").set("unit", "token");
  if (!hash.empty()) price.protocol.set("sha256", hash);
  return price;
}

std::vector<PriceColumn> measure_price(Session& session, const Model& before, const Model& after, std::span<const ModelText> texts) {
  Variant reference({"before", Precision::exact, "flash", DType::f32, {}}, before, session.pool()), variant({"after", Precision::exact, "flash", DType::f32, {}}, after, session.pool());
  std::vector<const Metric*> metrics;
  for (const Metric* metric : all_metrics()) {
    if (metric->compared == Compared::predictions) metrics.push_back(metric);
  }
  std::vector<std::vector<std::vector<MetricValue>>> values(metrics.size());  // [metric][text][column]
  std::vector<std::size_t> lengths;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    session.run().step("price", t, texts.size());
    const Variant::Output a = reference.run(texts[t].ids), b = variant.run(texts[t].ids);
    const TextRuns runs = text_runs(before, texts[t].ids, a, b, session.pool());
    lengths.push_back(texts[t].ids.size());
    for (std::size_t m = 0; m < metrics.size(); ++m) {
      values[m].emplace_back(metrics[m]->columns.size());
      metrics[m]->measure(runs, values[m].back());
    }
  }
  session.run().step("price", texts.size(), texts.size());
  std::vector<PriceColumn> columns;
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    for (PriceColumn& column : columns_of(*metrics[m], values[m], lengths)) columns.push_back(std::move(column));
  }
  return columns;
}

std::vector<ProductTime> time_products(Session& session, const Model& before, const Model& after) {
  const std::unique_ptr<Ops> ops = make_cpu_ops(Precision::fast, session.pool());
  std::vector<ProductTime> times;
  std::vector<float> x, out;
  const std::vector<WeightKey> keys = block_matrices(after);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Weight &old = before.weights.at(keys[i]), &fresh = after.weights.at(keys[i]);
    x.assign(old.cols, 0.5f);
    out.resize(old.rows);
    const TensorView<const float, 2> row(x.data(), {1, old.cols});
    const TensorView<float, 2> result(out.data(), {1, old.rows});
    times.push_back({matrix_name(keys[i]), product_microseconds(*ops, old, row, result), product_microseconds(*ops, fresh, row, result)});
    session.run().step("products", i + 1, keys.size());
  }
  std::ranges::stable_sort(times, std::ranges::greater(), &ProductTime::after_microseconds);
  return times;
}

Json to_json(std::span<const PriceColumn> columns) {
  Json all = Json::array();
  for (const PriceColumn& column : columns) {
    Json json = Json::object().set("name", column.name).set("unit", column.unit);
    if (!column.is_distance) json.set("before", column.before);
    all.push(json.set("after", column.after).set("estimate", to_json(column.estimate)));
  }
  return all;
}

void print_price(const PriceTexts& texts, std::span<const PriceColumn> price) {
  if (price.empty()) {
    std::printf("\nno price: the model has no tokenizer or no predictions, or there was no text\n");
    return;
  }
  const Json& protocol = texts.protocol;
  std::printf("\nprice on %s: %lld windows, %lld tokens; %s; %s precision\n", protocol["texts"].string().c_str(), static_cast<long long>(protocol["windows"].integer()),
              static_cast<long long>(protocol["tokens"].integer()), protocol["scored"].string().c_str(), protocol["precision"].string().c_str());
  for (const PriceColumn& column : price) {
    char before[32] = "", after[32];
    if (!column.is_distance) std::snprintf(before, sizeof before, column.format, column.before);
    std::snprintf(after, sizeof after, column.format, column.after);
    std::printf("  %-14s %s%s%s %s", column.name.c_str(), before, column.is_distance ? "" : " -> ", after, column.unit.c_str());
    if (std::isfinite(column.estimate.low) && std::isfinite(column.estimate.high)) {
      std::printf("  (%s %.4g [%.4g, %.4g] %s)", column.estimate.name.c_str(), column.estimate.value, column.estimate.low, column.estimate.high, column.estimate.unit.c_str());
    }
    std::printf("\n");
  }
}

}  // namespace vitrine
