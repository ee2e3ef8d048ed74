#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/embedding.h"
#include "experiments/printed_rows.h"

namespace vitrine {
namespace {

struct Options {
  CommonOptions common;
  TextOptions text;
  std::string pooling = "auto";
  bool no_normalize = false;
};

Pooling parse_pooling(const std::string& word, const ModelSpec& spec) {
  if (word == "auto") return spec.pooling == Pooling::none ? Pooling::mean : spec.pooling;
  if (word == "mean") return Pooling::mean;
  if (word == "cls") return Pooling::cls;
  if (word == "last") return Pooling::last;
  throw Error({"--pooling", "auto, mean, cls or last", quoted(word), ""}, Fault::usage);
}

Json result_of(const Options& options, Pooling pooling, std::span<const double> embedding, std::size_t tokens) {
  Json values = Json::array(), json;
  for (const double value : embedding) values.push(value);
  json.set("embedding", tokens > 0 ? values : Json());
  if (tokens == 0) json.set("reason", "the text has no token");
  json.set("pooling", pooling == Pooling::mean ? "mean" : pooling == Pooling::cls ? "cls" : "last");
  return json.set("normalized", !options.no_normalize).set("tokens", static_cast<std::uint64_t>(tokens));
}

std::vector<std::string> columns_of(std::size_t width) {
  std::vector<std::string> columns{"id", "tokens"};
  for (std::size_t c = 0; c < width; ++c) columns.push_back("value_" + std::to_string(c));
  return columns;
}

/// One row a text: its number of tokens and the numbers of its vector.
std::vector<Json> rows_of(std::span<const Json> results, std::span<const std::string> columns) {
  std::vector<Json> rows;
  for (const Json& result : results) {
    Json& row = rows.emplace_back(Json::object().set("id", static_cast<std::uint64_t>(rows.size())).set("tokens", result["tokens"]));
    for (std::size_t c = 2; c < columns.size() && result["embedding"].is_array(); ++c) row.set(columns[c], result["embedding"].items()[c - 2]);
  }
  return rows;
}

void print_table(std::span<const Json> rows) {
  std::puts("    id  tokens  values");
  for (const Json& row : rows) {
    std::printf("%6s %7s ", row["id"].dump().c_str(), row["tokens"].dump().c_str());
    for (std::size_t c = 2; c < row.members().size(); ++c) std::printf(" %.9g", row.members()[c].second.number());
    std::puts(row.members().size() > 2 ? "" : " -");
  }
}

/// Of a single text: a number a line.
void print_vector(std::span<const Json> rows) {
  for (std::size_t c = 2; c < rows.front().members().size(); ++c) std::printf("%.9g\n", rows.front().members()[c].second.number());
}

void run(const Options& options) {
  require_one_source(options.text);
  Session session(options.common);
  const ModelSpec& spec = session.model().spec;
  const EmbeddingRequest request{parse_pooling(options.pooling, spec), !options.no_normalize};
  const std::vector<InputText> inputs = session.read_all(options.text);
  const bool many = options.text.many();
  if (!many && inputs.front().tokens.empty()) throw Error({"--text", "at least one token", "none", ""}, Fault::usage);
  require_context(session.model(), inputs);
  std::vector<std::vector<TokenId>> sequences;
  for (const InputText& input : inputs) sequences.push_back(ids_of(input.tokens));
  const auto embeddings = sequence_embeddings(session, sequences, request);
  std::vector<Json> results;
  for (std::size_t i = 0; i < embeddings.size(); ++i) results.push_back(result_of(options, request.pooling, embeddings[i], sequences[i].size()));
  const std::vector<std::string> columns = columns_of(spec.width);
  const auto rows = [&](std::span<const Json> made) { return rows_of(made, columns); };
  print(session, {options.common, options.text, columns, rows, many ? print_table : print_vector}, inputs, std::move(results));
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common_with_rows(app, options->common);
  declare_interventions(app, options->common);
  declare_texts(app, options->text);
  app.add_option("--pooling", options->pooling, "mean, cls or last; auto = what the model declares, else mean");
  app.add_flag("--no-normalize", options->no_normalize, "do not divide by the vector's length");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_embed() {
  static const Command command{"embed", "a text as one vector", "vitrine embed all-MiniLM-L6-v2/ --text 'A sentence.' --json", declare};
  return command;
}

}  // namespace vitrine
