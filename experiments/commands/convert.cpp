#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/model/export.h"
#include "experiments/command.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

struct Options {
  std::string model, output, type = "keep";
  bool plan = false, force = false, no_tokenizer = false, json = false, quiet = false;
};

ExportRequest request_of(const Options& options) {
  ExportRequest request{.path = options.output};
  if (options.force) request.existing = Existing::replaced;
  if (options.no_tokenizer) request.tokenizer = TokenizerPart::left_out;
  if (options.type == "keep") return request;
  request.type = parse_dtype(options.type);
  if (!request.type) throw Error({"--type", "keep, F32, F16, BF16 or a type of blocks such as Q8_0", quoted(options.type), ""}, Fault::usage);
  return request;
}

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string megabytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

Json json_of(const ExportPlan& plan, bool written) {
  Json tensors = Json::array();
  for (const TensorToWrite& tensor : plan.tensors) {
    Json shape = Json::array();
    for (const std::size_t extent : tensor.shape) shape.push(static_cast<std::uint64_t>(extent));
    tensors.push(Json::object().set("name", tensor.name).set("type", dtype_info(tensor.type).name).set("shape", shape).set("bytes", tensor.bytes()));
  }
  Json left_out = Json::array(), notes = Json::array();
  for (const std::string& name : plan.left_out) left_out.push(name);
  for (const std::string& note : plan.notes) notes.push(note);
  Json result = Json::object().set("output", plan.path.string()).set("format", plan.format).set("family", plan.family).set("written", written);
  result.set("bytes", bytes_of(plan.tensors)).set("tensors", tensors).set("left_out", left_out).set("notes", notes);
  return result.set("history", Json(Json::Array(plan.operations.begin(), plan.operations.end())));
}

void print(const ExportPlan& plan, bool written) {
  if (!written) {
    for (const TensorToWrite& tensor : plan.tensors) {
      std::printf("%-48s %-6s %-20s %12llu\n", tensor.name.c_str(), std::string(dtype_info(tensor.type).name).c_str(), shape_text(tensor.shape).c_str(),
                  static_cast<unsigned long long>(tensor.bytes()));
    }
  }
  std::printf("%s%s: %s of %s, %zu tensors, %s\n", written ? "" : "would write ", plan.path.string().c_str(), plan.format.c_str(), plan.family.c_str(),
              plan.tensors.size(), megabytes(bytes_of(plan.tensors)).c_str());
  for (const std::string& name : plan.left_out) std::printf("left out: %s\n", name.c_str());
  for (const std::string& note : plan.notes) std::printf("note: %s\n", note.c_str());
}

void run(const Options& options) {
  const Model model = load_model(options.model);
  const ExportPlan plan = plan_export(model, request_of(options));
  if (!options.plan) {
    static Run progress(progress_bar(options.quiet));  // the signal's handler looks at it
    cancel_on_interrupt(progress);
    write_export(plan, progress);
  }
  if (options.json) std::puts(json_of(plan, !options.plan).dump(2).c_str());
  else print(plan, !options.plan);
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "GGUF file, safetensors file, Hugging Face folder, or hf:NAME")->required();
  app.add_option("-o,--output", options->output, "a name that ends in .gguf, or a folder")->required();
  app.add_option("--type", options->type, "of matrices: keep, F32, F16, BF16; in a GGUF also Q8_0, Q4_0, ...");
  app.add_flag("--plan", options->plan, "print names, types and sizes, and write nothing");
  app.add_flag("--force", options->force, "replace what stands there");
  app.add_flag("--no-tokenizer", options->no_tokenizer, "write the model alone, where the target has no words for its tokenizer");
  app.add_flag("--json", options->json, "print JSON");
  app.add_flag("--quiet", options->quiet, "no progress");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_convert() {
  static const Command command{"convert", "write a model in another format: Hugging Face's folder to GGUF, or back", "vitrine convert ./SmolLM2-135M -o smollm2.gguf --type F16", declare};
  return command;
}

}  // namespace vitrine
