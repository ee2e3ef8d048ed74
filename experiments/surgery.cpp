#include "experiments/surgery.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "experiments/number_range_internal.h"
#include "experiments/scoring.h"
#include "experiments/texts.h"

namespace vitrine {
namespace {

/// exp of the mean of -log P over all tokens but the first.
Perplexity perplexity_of(Session& session, std::span<const TokenId> ids, std::string_view task) {
  const std::size_t context = session.model().spec.context > 0 ? session.model().spec.context : ids.size();
  Perplexity result{.window = std::min<std::size_t>({512, context, ids.size()})};
  result.stride = result.window / 2;
  const std::vector<std::vector<TokenId>> texts{{ids.begin(), ids.end()}};
  double sum = 0.0;
  for (const TokenScore& score : windowed_scores(session, texts, {result.window, result.stride}, {.task = task}).front()) {
    if (!score.log_probability) continue;
    sum += *score.log_probability;
    ++result.tokens;
  }
  result.value = std::exp(-sum / static_cast<double>(result.tokens));
  return result;
}

std::vector<TokenId> evaluation_ids(const Session& session, const SurgeryOptions& options) {
  if (options.evaluation.empty()) return {};
  if (!session.model().tokenizer) throw Error({"--evaluation", "a model with a tokenizer", session.model().path.string(), ""}, Fault::usage);
  require_next_token_model(session.model());
  std::vector<TokenId> ids = ids_of(encode_text(*session.model().tokenizer, read_file("--evaluation", options.evaluation), "auto").tokens);
  if (ids.size() < 32) throw Error({"--evaluation " + options.evaluation, "at least 32 tokens", std::to_string(ids.size()), ""});
  ids.resize(std::min(ids.size(), options.evaluation_tokens));
  return ids;
}

/// Zeros that a type of blocks could not hold, and sums that it would round again, are written as F16 unless the user says a type.
ExportRequest request_of(const SurgeryOptions& options, const Model& model, const ShortcutReport& report) {
  ExportRequest request{.path = options.output};
  if (options.force) request.existing = Existing::replaced;
  if (options.type != "keep") {
    request.type = parse_dtype(options.type);
    if (!request.type) throw Error({"--type", "keep, F32, F16, BF16 or a type of blocks such as Q8_0", quoted(options.type), ""}, Fault::usage);
    return request;
  }
  const bool grown = std::ranges::any_of(report.matrices, [](const MatrixChange& change) { return change.bytes_after > change.bytes_before; });
  const bool folder = request.path.extension() != ".gguf";
  if (grown && !folder && model.checkpoint->format == "gguf") request.type = DType::f16;
  return request;
}

Json json_of(const std::optional<Perplexity>& perplexity) {
  if (!perplexity) return {};
  const auto number = [](std::size_t count) { return static_cast<std::uint64_t>(count); };
  return Json::object().set("value", perplexity->value).set("tokens", number(perplexity->tokens)).set("window", number(perplexity->window)).set("stride", number(perplexity->stride));
}

Json json_of(const ShortcutReport& report) {
  Json matrices = Json::array(), notes = Json::array();
  for (const MatrixChange& change : report.matrices) {
    Json row = Json::object().set("name", change.name).set("made", change.made);
    row.set("bytes_before", static_cast<std::uint64_t>(change.bytes_before)).set("bytes_after", static_cast<std::uint64_t>(change.bytes_after));
    row.set("relative_error", change.relative_error).set("output_error", change.output_error ? Json(*change.output_error) : Json());
    matrices.push(row);
  }
  for (const std::string& note : report.notes) notes.push(note);
  return Json::object().set("matrices", matrices).set("notes", notes);
}

void print_perplexity(const SurgeryResult& result, const SurgeryOptions& options) {
  if (!result.before) return;
  const Perplexity& p = *result.before;
  const std::string name = std::filesystem::path(options.evaluation).filename().string();
  if (result.after) std::printf("perplexity %.4f, was %.4f", result.after->value, p.value);
  else std::printf("perplexity %.4f", p.value);
  std::printf(" (%zu tokens of %s, windows of %zu every %zu)\n", p.tokens, name.c_str(), p.window, p.stride);
}

}  // namespace

void declare_surgery(CLI::App& app, SurgeryOptions& options) {
  declare_common(app, options.common);
  app.add_option("-o,--output", options.output, "a name that ends in .gguf, or a folder")->required();
  app.add_option("--type", options.type, "of matrices in the file: keep (F16 where the model's blocks cannot hold what was made), F32, F16, BF16; in a GGUF also Q8_0, ...");
  app.add_option("--evaluation", options.evaluation, "a text whose perplexity is told before and after");
  app.add_option("--evaluation-tokens", options.evaluation_tokens, "at most so many tokens of it")->check(whole_number(32, 1u << 30));
  app.add_flag("--plan", options.plan, "say what would be done and written, and do neither");
  app.add_flag("--force", options.force, "replace what stands there");
  declare_calibration(app, options.common.calibration);
}

SurgeryResult operate(const SurgeryOptions& options, std::string operation, std::span<const ShortcutCall> calls) {
  Session session(options.common);
  SurgeryResult result{.operation = std::move(operation), .word = spelled(calls), .report = {}, .plan = {}};
  const std::vector<TokenId> ids = evaluation_ids(session, options);
  static_cast<void>(plan_export(session.model(), request_of(options, session.model(), {})));  // refused before the work, not behind it
  if (!ids.empty()) result.before = perplexity_of(session, ids, "perplexity before");
  if (options.plan) {
    result.plan = plan_export(session.model(), request_of(options, session.model(), {}));
    return result;
  }
  const VariantSpec variant{.name = result.operation, .precision = session.precision(), .kernel = options.common.kernel, .kv_format = session.kv_format(), .shortcuts = {calls.begin(), calls.end()}};
  result.report = session.become(variant, options.common.calibration);
  if (!ids.empty()) result.after = perplexity_of(session, ids, "perplexity after");
  ExportRequest request = request_of(options, session.model(), result.report);
  const Json signature = session.signature();
  request.operations.push_back(Json::object().set("operation", result.operation).set("shortcuts", result.word).set("calibration_sha256", signature["calibration_sha256"])
                                   .set("seed", options.common.seed).set("version", VITRINE_VERSION));
  result.plan = write_model(session.model(), request, session.run());
  result.written = true;
  return result;
}

void print(const SurgeryResult& result, const SurgeryOptions& options) {
  const std::uint64_t bytes = bytes_of(result.plan.tensors);
  if (options.common.json) {
    Json json = json_of(result.report);
    json.set("operation", result.operation).set("shortcuts", result.word).set("written", result.written).set("output", result.plan.path.string()).set("file_bytes", bytes);
    json.set("history", Json(Json::Array(result.plan.operations.begin(), result.plan.operations.end())));
    std::puts(json.set("perplexity_before", json_of(result.before)).set("perplexity_after", json_of(result.after)).dump(2).c_str());
    return;
  }
  if (!result.report.matrices.empty()) std::printf("%-28s %-26s %12s %12s\n", "matrix", "made", "weight error", "output error");
  for (const MatrixChange& change : result.report.matrices) {
    char output[32] = "-";
    if (change.output_error) std::snprintf(output, sizeof output, "%.4f", *change.output_error);
    std::printf("%-28s %-26s %12.4f %12s\n", change.name.c_str(), change.made.c_str(), change.relative_error, output);
  }
  std::printf("%s%s: %s%s, %.1f MB\n", result.written ? "" : "would apply ", result.word.c_str(), result.written ? "" : "and write ", result.plan.path.string().c_str(),
              static_cast<double>(bytes) / 1e6);
  print_perplexity(result, options);
  for (const std::string& note : result.plan.notes) std::printf("note: %s\n", note.c_str());
}

}  // namespace vitrine
