#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/printed_rows.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
};

/// What comes out of the last product, as its labels mean it.
std::vector<double> probabilities(LabelRule rule, std::span<const float> labels) {
  std::vector<double> values(labels.begin(), labels.end());
  if (rule == LabelRule::number) return values;
  const double top = *std::max_element(values.begin(), values.end());
  double sum = 0.0;
  for (double& value : values) {
    value = rule == LabelRule::sigmoid ? 1.0 / (1.0 + std::exp(-value)) : std::exp(value - top);
    sum += value;
  }
  for (double& value : values) value /= rule == LabelRule::softmax ? sum : 1.0;
  return values;
}

Json labels_of(const ReadoutSpec& readout, std::span<const float> labels) {
  const std::vector<double> values = probabilities(readout.rule, labels);
  Json list = Json::array();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const char* what = readout.rule == LabelRule::number ? "value" : "probability";
    list.push(Json::object().set("label", readout.names[i]).set(what, values[i]));
  }
  return list;
}

/// Each text's labels, or those of each of its tokens.
std::vector<Json> classify(Session& session, std::span<const InputText> inputs) {
  const ReadoutSpec& readout = *session.model().spec.readout;
  const Tokenizer* tokenizer = session.model().tokenizer.get();
  const bool every = readout.rows == ReadoutRows::every;
  std::vector<Json> results;
  std::vector<std::vector<TokenId>> sequences;
  std::vector<std::vector<std::int32_t>> types;
  for (const InputText& input : inputs) {
    sequences.push_back(ids_of(input.tokens));
    types.push_back(types_of(session.model(), input));
    results.push_back(every ? Json::object().set("tokens", Json::array()) : Json::object());
  }
  std::vector<Json> tokens(inputs.size(), Json::array());
  ForwardSinks sinks;
  sinks.readout = [&](const Readout& read) {
    const Json labels = labels_of(readout, read.labels);
    if (!every) {
      results[read.sequence].set("labels", labels);
      return;
    }
    const TokenId id = sequences[read.sequence][read.position];
    tokens[read.sequence].push(Json::object().set("position", static_cast<std::uint64_t>(read.position)).set("id", id)
                                   .set("text", tokenizer ? Json(tokenizer->piece(id)) : Json()).set("labels", labels));
  };
  std::size_t begin = 0;
  for (const std::size_t end : batch_ends(sequences)) {
    const auto batch = std::span(sequences).subspan(begin, end - begin);
    std::vector<std::vector<TokenId>> said(batch.begin(), batch.end());
    if (session.has_encoder()) {
      session.encode_batch(batch, {}, {}, static_cast<std::uint32_t>(begin));
      for (std::vector<TokenId>& ids : said) ids = session.shifted_right(ids);
    }
    session.run_batch(said, {}, sinks, {static_cast<std::uint32_t>(begin), std::span(types).subspan(begin, end - begin)});
    session.run().step("classify", end, sequences.size());
    begin = end;
  }
  constexpr const char* rules[] = {"softmax", "sigmoid", "regression"};
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (every) results[i].set("tokens", tokens[i]);
    results[i].set("rule", rules[static_cast<int>(readout.rule)]);
  }
  return results;
}

/// One row a label of a text or of a token.
std::vector<Json> rows_of(std::span<const Json> results) {
  std::vector<Json> rows;
  const auto add = [&](std::size_t sequence, const Json& holder) {
    for (const Json& label : holder["labels"].items()) {
      Json row = Json::object().set("sequence", static_cast<std::uint64_t>(sequence)).set("position", holder["position"]).set("text", holder["text"]);
      row.set("label", label["label"]).set("probability", label["probability"]).set("value", label["value"]);
      rows.push_back(row);
    }
  };
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i].has("tokens")) add(i, results[i]);
    else for (const Json& token : results[i]["tokens"].items()) add(i, token);
  }
  return rows;
}

void print_table(std::span<const Json> rows) {
  std::puts("sequence  position  number     label");
  for (const Json& row : rows) {
    const Json& number = row["probability"].is_null() ? row["value"] : row["probability"];
    std::printf("%8s  %8s  %9.6f  %s%s%s\n", row["sequence"].dump().c_str(), row["position"].is_null() ? "" : row["position"].dump().c_str(), number.number(),
                row["label"].string().c_str(), row["text"].is_string() ? "  " : "", row["text"].is_string() ? printable(row["text"].string()).c_str() : "");
  }
}

void require_labels(const Model& model) {
  const auto& readout = model.spec.readout;
  if (readout && readout->labels > 0) return;
  throw Error({model.path.string(), "a model with a classification head", model.spec.architecture + " without one", ""});
}

void run(const Options& options) {
  require_one_source(options.text);
  Session session(options.common);
  require_labels(session.model());
  const std::vector<InputText> inputs = session.read_all(options.text);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].tokens.empty()) throw Error({"text " + std::to_string(i) + " (counted from 0)", "at least one token", "none", ""}, Fault::usage);
  }
  require_context(session.model(), inputs);
  std::vector<Json> results = classify(session, inputs);
  print(session, {options.common, options.text, {"sequence", "position", "text", "label", "probability", "value"}, rows_of, print_table}, inputs, std::move(results));
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_interventions(app, options->common);
  declare_texts(app, options->text);
  declare_pair(app, options->text);
  return [options] { run(*options); };
}

}  // namespace

const Command& command_classify() {
  static const Command command{"classify", "labels of a text, or of each of its tokens, by a model with such a head",
                               "vitrine classify model/ --text 'What a day.' --json", declare};
  return command;
}

}  // namespace vitrine
