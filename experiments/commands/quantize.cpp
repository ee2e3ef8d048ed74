#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "core/base/error.h"
#include "core/model/export.h"
#include "core/shortcuts/grid.h"
#include "core/shortcuts/type_plan.h"
#include "core/tensor/sparse_rows.h"
#include "experiments/command.h"
#include "experiments/layered_ops.h"
#include "experiments/number_range_internal.h"
#include "experiments/price.h"
#include "experiments/session.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

constexpr std::size_t small_model = 300'000'000;  // parameters, below which four bits cost more than they save
constexpr std::size_t shown = 5;                  // matrices of a list for people

struct Options {
  CommonOptions common;
  CalibrationOptions calibration;
  PriceOptions price;
  std::string output, type, method = "nearest", importance;
  bool plan = false, force = false;
};

/// What is to be done, and why.
struct Choice {
  std::string type, reason;
  std::vector<ShortcutCall> calls;
};

bool by_inputs(const Options& options) { return options.method == "gptq" || options.method == "awq"; }

Calibrated calibrated(const Options& options) { return options.calibration.file.empty() && options.importance.empty() ? Calibrated::no : Calibrated::yes; }

ShortcutCall call_of(const std::string& type, const std::string& importance) {
  const auto quantize = std::ranges::find(all_shortcuts(), std::string_view("quantize"), &Shortcut::name);
  std::map<std::string, std::string, std::less<>> values{{"type", type}};
  if (!importance.empty()) values.emplace("matrix", importance);
  return {**quantize, std::move(values)};
}

Choice choice_of(const Options& options, const Model& model) {
  std::string type = options.type, reason = "as asked for with --type";
  if (type.empty() && options.method != "nearest") {
    type = "Q4_0";
    reason = "the default of this method";
  } else if (type.empty()) {
    const bool is_small = model.parameters < small_model;
    type = is_small ? "Q8_0" : "Q4_K_M";
    reason = is_small ? "the default under 300 million parameters" : std::string("the default from 300 million parameters on") + (calibrated(options) == Calibrated::yes ? "" : "; a text with --calibration lowers its error");
  }
  if (options.method == "nearest") return {type, reason, {call_of(type, options.importance)}};
  // These know the inputs of the blocks' matrices; tables and heads go to the nearest.
  if (by_inputs(options) && !options.importance.empty()) throw Error({"--importance", "--method nearest", options.method + ", which needs the inputs themselves", "give a text with --calibration"}, Fault::usage);
  if (by_inputs(options)) return {type, reason, parse_shortcuts(options.method + ":type=" + type + "+quantize:type=" + type + ",blocks=keep")};
  throw Error({"--method", "nearest, gptq or awq", quoted(options.method), ""}, Fault::usage);
}

std::string megabytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

/// Bytes, and bits of a number: what a type costs.
std::string sizes_text(std::size_t before, std::size_t after, std::size_t parameters) {
  char text[96];
  std::snprintf(text, sizeof text, "%s -> %s (%.2f -> %.2f bits a parameter)", megabytes(before).c_str(), megabytes(after).c_str(),
                8.0 * static_cast<double>(before) / static_cast<double>(parameters), 8.0 * static_cast<double>(after) / static_cast<double>(parameters));
  return text;
}

Json count(std::size_t number) { return static_cast<std::uint64_t>(number); }

/// What every matrix will be.
TypePlan types_of(const Options& options, const Model& model, const Choice& choice) {
  TypePlan plan = plan_types(model, choice.type, calibrated(options), by_inputs(options) ? PlannedPart::outside_blocks : PlannedPart::all);
  if (!by_inputs(options)) return plan;
  const DTypeInfo& type = dtype_info(*parse_dtype(choice.type));
  const std::set<WeightKey> divided = divided_matrices(model, {std::string(type.name), type.block_size, type.type, {}}, plan.notes);
  for (const WeightKey& key : block_matrices(model)) plan.types[key] = divided.contains(key) ? type.type : model.weights.at(key).type;
  return plan;
}

void show_plan(const Options& options, const Session& session, const Choice& choice) {
  const Model& model = session.model();
  const TypePlan plan = types_of(options, model, choice);
  const std::size_t before = model.weights.bytes(), after = before - bytes_now(model, plan) + bytes_planned(model, plan);
  Json matrices = Json::array(), notes = Json::array();
  for (const std::string& note : plan.notes) notes.push(note);
  for (const WeightKey& key : distinct_matrices(model, plan)) {
    const Weight& weight = model.weights.at(key);
    const DType type = plan.types.at(key);
    const std::string from(dtype_info(weight.type).name), to(dtype_info(type).name);
    const std::size_t was = stored_bytes(weight), bytes = weight.rows * row_bytes(type, weight.cols);
    matrices.push(Json::object().set("name", matrix_name(key)).set("from", from).set("type", to).set("bytes_before", count(was)).set("bytes_after", count(bytes)));
    if (!options.common.json) std::printf("%-32s %-6s -> %-8s %12zu -> %12zu bytes\n", matrix_name(key).c_str(), from.c_str(), to.c_str(), was, bytes);
  }
  if (options.common.json) {
    Json json = Json::object().set("type", choice.type).set("reason", choice.reason).set("word", spelled(choice.calls)).set("written", false);
    std::puts(json.set("bytes_before", count(before)).set("bytes_after", count(after)).set("matrices", matrices).set("notes", notes).dump(2).c_str());
    return;
  }
  std::printf("would write %s: %s; %s\n", choice.type.c_str(), choice.reason.c_str(), sizes_text(before, after, model.parameters).c_str());
  for (const std::string& note : plan.notes) std::printf("note: %s\n", note.c_str());
}

struct Outcome {
  Choice choice;
  Model model;
  ShortcutReport report;
  PriceTexts texts;
  std::vector<PriceColumn> price;
  std::vector<ProductTime> times;
  std::uint64_t file_bytes = 0;
};

/// Not where a file stood.
std::string recorded_word(const Options& options, const Choice& choice) {
  return options.importance.empty() ? spelled(choice.calls) : call_of(choice.type, std::filesystem::path(options.importance).filename().string()).spelled();
}

Json operation_of(const Options& options, const Outcome& outcome, DType was, const std::string& calibration_hash) {
  Json operation = Json::object().set("operation", "quantize").set("word", recorded_word(options, outcome.choice)).set("type", outcome.choice.type);
  if (dtype_info(was).quantized) operation.set("on_top_of", dtype_info(was).name);
  if (!options.importance.empty()) operation.set("importance_sha256", checkpoint_sha256(open_checkpoint(options.importance)));
  if (!calibration_hash.empty()) operation.set("calibration_sha256", calibration_hash).set("calibration_tokens", count(options.calibration.tokens));
  return operation;
}

Json json_of(const Options& options, const Session& session, const Outcome& outcome) {
  Json times = Json::array();
  for (const ProductTime& time : outcome.times) {
    times.push(Json::object().set("name", time.name).set("before_microseconds", time.before_microseconds).set("after_microseconds", time.after_microseconds));
  }
  Json json = to_json(outcome.report);
  json.set("output", options.output).set("written", true).set("type", outcome.choice.type).set("reason", outcome.choice.reason);
  json.set("word", spelled(outcome.choice.calls)).set("parameters", count(session.model().parameters));
  json.set("bytes_before", count(session.model().weights.bytes())).set("bytes_after", count(outcome.model.weights.bytes())).set("file_bytes", outcome.file_bytes);
  json.set("price", to_json(outcome.price)).set("protocol", outcome.texts.protocol).set("products", times);
  return json.set("signature", session.signature());
}

void print_errors(std::vector<MatrixChange> matrices) {
  std::map<std::string, std::pair<std::size_t, double>> by_type;  // number of matrices, sum of squared errors
  for (const MatrixChange& change : matrices) {
    auto& [number, squares] = by_type[change.made];
    ++number;
    squares += change.relative_error * change.relative_error;
  }
  std::printf("\nrelative error ||W' - W|| / ||W|| (root mean square over matrices)\n");
  for (const auto& [made, of_type] : by_type) std::printf("  %-28s %4zu matrices  %.5f\n", made.c_str(), of_type.first, std::sqrt(of_type.second / static_cast<double>(of_type.first)));
  std::ranges::stable_sort(matrices, std::ranges::greater(), &MatrixChange::relative_error);
  std::printf("largest\n");
  for (std::size_t i = 0; i < std::min(shown, matrices.size()); ++i) std::printf("  %-28s %-12s %.5f\n", matrices[i].name.c_str(), matrices[i].made.c_str(), matrices[i].relative_error);
}

void print(const Options& options, Session& session, const Outcome& outcome) {
  std::printf("%s: %s, %s\n", options.output.c_str(), outcome.choice.type.c_str(), outcome.choice.reason.c_str());
  std::printf("weights %s; file %s\n", sizes_text(session.model().weights.bytes(), outcome.model.weights.bytes(), session.model().parameters).c_str(),
              megabytes(static_cast<std::size_t>(outcome.file_bytes)).c_str());
  for (const std::string& note : outcome.report.notes) std::printf("note: %s\n", note.c_str());
  print_errors(outcome.report.matrices);
  if (!options.price.none) print_price(outcome.texts, outcome.price);
  std::printf("\nslowest products of one token, %zu threads, fast precision (before -> after)\n", session.pool().threads());
  for (std::size_t i = 0; i < std::min(shown, outcome.times.size()); ++i) {
    std::printf("  %-28s %8.1f -> %8.1f us\n", outcome.times[i].name.c_str(), outcome.times[i].before_microseconds, outcome.times[i].after_microseconds);
  }
}

void run(const Options& options) {
  const bool named = !options.output.empty() || !options.plan;
  if (named && !options.output.ends_with(".gguf")) throw Error({"--output", "a name that ends in .gguf: other formats have no blocks", quoted(options.output), ""}, Fault::usage);
  Session session(options.common);
  Outcome outcome{choice_of(options, session.model()), session.model(), {}, {}, {}, {}, 0};
  // Whether there will be a file is found out before any work is done.
  const TypePlan types = plan_types(session.model(), outcome.choice.type, calibrated(options));
  ExportRequest request{.path = options.output, .existing = options.force ? Existing::replaced : Existing::refused, .gguf_file_type = types.gguf_file_type};
  if (!options.output.empty()) static_cast<void>(plan_export(session.model(), request));
  std::string calibration_hash;
  std::vector<ModelText> calibration = calibration_texts(session, options.calibration, calibration_hash);
  if (!options.price.none) outcome.texts = price_texts(session, options.price, calibration);
  check_shortcut(session.model(), outcome.choice.calls.front(), calibration_tokens(calibration));
  if (options.plan) return show_plan(options, session, outcome.choice);
  const DType was = most_frequent_type(session.model());
  LayeredOps ops(make_cpu_ops(Precision::exact, session.pool()));
  outcome.report = apply_in_memory(outcome.model, outcome.choice.calls, {calibration, options.common.seed, session.run()}, ops);
  request.operations = {operation_of(options, outcome, was, calibration_hash)};
  const ExportPlan written = write_model(outcome.model, request, session.run());
  outcome.file_bytes = bytes_of(written.tensors);
  for (const std::string& note : written.notes) outcome.report.notes.push_back(note);
  if (!outcome.texts.texts.empty()) outcome.price = measure_price(session, session.model(), outcome.model, outcome.texts.texts);
  outcome.times = time_products(session, session.model(), outcome.model);
  if (options.common.json) std::puts(json_of(options, session, outcome).dump(2).c_str());
  else print(options, session, outcome);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_common(app, options->common);
  app.add_option("-o,--output", options->output, "a name that ends in .gguf");
  app.add_option("--type", options->type, "Q8_0, Q4_K_M, Q5_K_S, IQ4_XS, ... (default: Q8_0 under 300 million parameters, else Q4_K_M)");
  app.add_option("--method", options->method, "nearest: the least error of each block; gptq, awq: by what goes into the matrices (need --calibration)");
  CLI::Option* importance = app.add_option("--importance", options->importance, "a file of llama-imatrix (GGUF) that says the importance of columns, in place of a text")->check(some_text());
  for (CLI::Option* option : declare_calibration(app, options->calibration)) importance->excludes(option);
  declare_price(app, options->price);
  app.add_flag("--plan", options->plan, "print types and sizes, and write nothing");
  app.add_flag("--force", options->force, "replace what stands there");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_quantize() {
  static const Command command{"quantize", "write a model in GGUF's blocks, and say what that costs", "vitrine quantize smollm2-f16.gguf -o smollm2-q4.gguf --type Q4_K_M --calibration text.txt", declare};
  return command;
}

}  // namespace vitrine
