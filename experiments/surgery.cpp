#include "experiments/surgery.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "core/base/error.h"
#include "experiments/layered_ops.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

ExportRequest request_of(const SurgeryOptions& options) {
  ExportRequest request{.path = options.output};
  if (options.force) request.existing = Existing::replaced;
  if (options.type == "keep") return request;
  request.type = parse_dtype(options.type);
  if (!request.type) throw Error({"--type", "keep, F32, F16, BF16 or a type of blocks such as Q8_0", quoted(options.type), ""}, Fault::usage);
  return request;
}

/// Matrices that were made of blocks: into these again where that changes no number, else F16, which holds zeros and sums.
void settle_types(const Model& before, Model& changed, ShortcutReport& report) {
  std::vector<std::pair<WeightKey, Weight>> settled;
  std::size_t grown = 0;
  for (const auto& [key, weight] : changed.weights.all()) {
    const Weight* old = before.weights.find(key);
    if (old == nullptr || weight.type != DType::f32 || !dtype_info(old->type).quantized || old->cols != weight.cols || old->rows != weight.rows) continue;
    const Tensor numbers = expand(weight);
    const auto stored = [&](DType type) {
      Tensor tensor(type, {weight.rows, weight.cols});
      dtype_info(type).compress(numbers.floats().data(), tensor.bytes().data(), weight.rows * weight.cols);
      return make_weight(std::move(tensor));
    };
    // Of others the search may find new scales.
    constexpr std::array kept{DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::iq4_nl, DType::mxfp4, DType::tq1_0, DType::tq2_0};
    std::optional<Weight> again;
    if (std::ranges::find(kept, old->type) != kept.end()) again = stored(old->type);
    if (!again || relative_error(numbers.floats(), expand(*again).floats()) != 0.0) {
      again = stored(DType::f16);
      ++grown;
    }
    settled.emplace_back(key, std::move(*again));
  }
  for (auto& [key, weight] : settled) changed.weights.put(key, std::move(weight));
  if (grown > 0) report.notes.push_back(std::to_string(grown) + " matrices are F16 in the file: their blocks do not hold the new numbers (--type says another)");
}

}  // namespace

void declare_surgery(CLI::App& app, SurgeryOptions& options) {
  declare_common(app, options.common);
  app.add_option("-o,--output", options.output, "a name that ends in .gguf, or a folder")->required();
  app.add_option("--type", options.type, "of matrices in the file: keep (F16 where the model's blocks cannot hold what was made), F32, F16, BF16; in a GGUF also Q8_0, ...");
  app.add_flag("--plan", options.plan, "say what would be done and written, and do neither");
  app.add_flag("--force", options.force, "replace what stands there");
  declare_calibration(app, options.calibration);
  declare_price(app, options.price);
}

SurgeryResult operate(const SurgeryOptions& options, const Surgery& surgery) {
  const std::vector<ShortcutCall>& calls = surgery.calls;
  Session session(options.common);
  SurgeryResult result{.operation = surgery.operation, .word = spelled(calls), .report = {}, .plan = {}};
  result.plan = plan_export(session.model(), request_of(options));  // refused before the work, not behind it
  std::string calibration_hash;
  std::vector<ModelText> calibration = calibration_texts(session, options.calibration, calibration_hash);
  if (!options.price.none) result.texts = price_texts(session, options.price, calibration);
  for (const ShortcutCall& call : calls) check_shortcut(session.model(), call, calibration_tokens(calibration));
  if (options.plan) return result;
  Model changed = session.model();
  LayeredOps ops(make_cpu_ops(Precision::exact, session.pool()));
  result.report = apply_in_memory(changed, calls, {calibration, options.common.seed, session.run()}, ops);
  ExportRequest request = request_of(options);
  if (!request.type) settle_types(session.model(), changed, result.report);
  Json operation = Json::object().set("operation", surgery.operation);
  for (const auto& [key, value] : surgery.record.members()) operation.set(key, value);
  operation.set("seed", options.common.seed);
  if (!calibration_hash.empty()) operation.set("calibration_sha256", calibration_hash);
  request.operations.push_back(std::move(operation));
  result.plan = write_model(changed, request, session.run());
  result.written = true;
  if (!result.texts.texts.empty()) result.price = measure_price(session, session.model(), changed, result.texts.texts);
  return result;
}

void print(const SurgeryResult& result, const SurgeryOptions& options) {
  const std::uint64_t bytes = bytes_of(result.plan.tensors);
  if (options.common.json) {
    Json json = to_json(result.report);
    json.set("operation", result.operation).set("shortcuts", result.word).set("written", result.written).set("output", result.plan.path.string()).set("file_bytes", bytes);
    json.set("history", Json(Json::Array(result.plan.operations.begin(), result.plan.operations.end())));
    std::puts(json.set("price", to_json(result.price)).set("protocol", result.texts.protocol).dump(2).c_str());
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
  for (const std::string& note : result.report.notes) std::printf("note: %s\n", note.c_str());
  for (const std::string& note : result.plan.notes) std::printf("note: %s\n", note.c_str());
  if (result.written && !options.price.none) print_price(result.texts, result.price);
}

}  // namespace vitrine
