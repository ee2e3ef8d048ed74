#include "core/model/export.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>

#include "core/base/durable_file.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/part_file.h"
#include "core/checkpoint/safetensors_writer.h"
#include "core/model/export_metadata.h"
#include "core/model/export_tensors.h"
#include "core/model/metadata.h"
#include "core/model/spec_difference.h"
#include "core/model/tokenizer_of.h"
#include "core/model/translation.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

bool is_gguf(const Model& model) { return model.checkpoint->format == "gguf"; }

bool names_gguf(const fs::path& path) {
  std::string name = path.filename().string();
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.ends_with(".gguf");
}

/// The target must not be the source, nor stand there unless it may be replaced.
void check_path(const Model& model, const ExportRequest& request) {
  std::error_code ignored;
  const std::string where = request.path.string();
  if (request.path.empty()) throw Error({"-o", "a file name that ends in .gguf, or a folder", "none", ""}, Fault::usage);
  const std::string ending = request.path.extension().string();
  for (const char* of_file : {".safetensors", ".bin", ".pt", ".txt", ".json", ".ggml"}) {
    if (ending == of_file) throw Error({"-o", "a file name that ends in .gguf, or a folder", quoted(where), ""}, Fault::usage);
  }
  if (!fs::exists(request.path, ignored)) return;
  const auto is_input = [&](const fs::path& path) { return fs::equivalent(path, request.path, ignored); };
  const bool input = is_input(model.path) || std::ranges::any_of(model.checkpoint->files, [&](const fs::path& file) {
    return is_input(file) || is_input(file.parent_path());
  });
  if (input) throw Error({where, "another place than the model that is read", "the same", ""}, Fault::usage);
  const bool folder = fs::is_directory(request.path, ignored), empty_folder = folder && fs::is_empty(request.path, ignored);
  if (folder == names_gguf(request.path)) {
    throw Error({where, folder ? "a file" : "a folder", folder ? "a folder of this name" : "a file of this name", "name another"}, Fault::usage);
  }
  if (request.existing == Existing::replaced && folder && !empty_folder) require_model_folder(request.path);
  if (request.existing == Existing::replaced || empty_folder) return;
  throw Error({where, "a name that is free", "something that is there", "name another, or say --force"}, Fault::usage);
}

void check_type(const ExportRequest& request, bool gguf) {
  if (!request.type) return;
  const DTypeInfo& info = dtype_info(*request.type);
  const bool plain = info.type == DType::f32 || info.type == DType::f16 || info.type == DType::bf16;
  if (info.compress == nullptr || (!gguf && !plain)) {
    throw Error({"type " + std::string(info.name), gguf ? "one that numbers can be rounded to" : "F32, F16 or BF16 in safetensors", std::string(info.name), ""}, Fault::usage);
  }
}

/// What the target's reader will see: metadata, names and shapes; numbers of rotary factors alone.
Checkpoint seen_by_reader(const ExportPlan& plan, Json metadata) {
  Checkpoint seen{.format = plan.format, .path = plan.path, .metadata = std::move(metadata), .tensors = {}, .files = {}};
  for (const TensorToWrite& tensor : plan.tensors) {
    std::size_t rows = 1;
    for (std::size_t axis = 0; axis + 1 < tensor.shape.size(); ++axis) rows *= tensor.shape[axis];
    const bool factors = tensor.name.starts_with("rope_");
    seen.tensors.push_back({tensor.name, tensor.shape, factors ? tensor.make() : Weight{tensor.type, rows, tensor.shape.empty() ? 1 : tensor.shape.back(), nullptr, nullptr}});
  }
  std::ranges::sort(seen.tensors, {}, &NamedTensor::name);
  return seen;
}

/// A description without what a format does not say of a model: heads that were left out, padding that no format but its own skips.
void forget(ModelSpec& spec) {
  spec.head_scale = 1.0f;  // the head has it
  spec.position_offset = 0;
  spec.uncounted_token.reset();
}

void check_description(const Model& model, const ExportPlan& plan, const Checkpoint& seen) {
  const Architecture& architecture = architecture_of(seen);
  ModelSpec there = architecture.describe(seen), here = model.spec;
  if (plan.format == "gguf" && !is_gguf(model)) {
    forget(here);
    forget(there);
  }
  if (plan.format != "gguf" && is_gguf(model)) here.pooling = there.pooling;  // a note says it
  if (!plan.left_out.empty()) {
    here.has_head = there.has_head;
    here.head_transform = there.head_transform;
    here.readout = there.readout;
  }
  const std::string difference = spec_difference(here, there);
  if (difference.empty()) return;
  throw Error({plan.path.string(), "a model that " + std::string(plan.format == "gguf" ? "GGUF's keys" : "config.json") + " of " + quoted(plan.family) + " can describe",
               "one that would be read as another: " + difference, ""});
}

/// A checkpoint of the target's kind in which only names stand that decide how others are called.
Checkpoint empty_target(const ExportPlan& plan, const Json& metadata, const std::vector<std::string>& names) {
  Checkpoint target{.format = plan.format, .path = plan.path, .metadata = metadata, .tensors = {}, .files = {}};
  for (const std::string& name : names) target.tensors.push_back({name, {}, {}});
  std::ranges::sort(target.tensors, {}, &NamedTensor::name);
  return target;
}

void list_into(ExportPlan& plan, TensorList list) {
  plan.tensors.insert(plan.tensors.end(), std::make_move_iterator(list.tensors.begin()), std::make_move_iterator(list.tensors.end()));
  plan.left_out.insert(plan.left_out.end(), list.left_out.begin(), list.left_out.end());
}

/// Names stay.
void plan_same(const Model& model, const ExportRequest& request, ExportPlan& plan) {
  plan.family = model_type(*model.checkpoint);
  list_into(plan, list_tensors(model, {.checkpoint = *model.checkpoint, .architecture = architecture_of(*model.checkpoint), .gguf = is_gguf(model), .same_names = true,
                                       .type = request.type}));
}

void plan_translated(const Model& model, const ExportRequest& request, const Translation& translation, ExportPlan& plan) {
  const bool gguf = plan.format == "gguf";
  plan.family = gguf ? translation.gguf : translation.model_type;
  std::vector<std::string> names = translation.hints ? translation.hints(model, gguf) : std::vector<std::string>{};
  if (!gguf && !translation.component.empty()) names.push_back(std::string(translation.component) + ".");
  const Vocabulary vocabulary = request.tokenizer == TokenizerPart::kept ? vocabulary_of(*model.checkpoint) : Vocabulary{};
  const Json metadata = gguf ? translated_gguf(model, translation, vocabulary, plan) : translated_config(model, translation, vocabulary, plan);
  const Checkpoint target = empty_target(plan, metadata, names);
  list_into(plan, list_tensors(model, {.checkpoint = target, .architecture = architecture_of(target), .gguf = gguf, .needs_head = gguf && translation.needs_head && translation.needs_head(model),
                                       .type = request.type}));
  plan.left_out.insert(plan.left_out.end(), model.unused.begin(), model.unused.end());
  if (gguf && translation.limits) {
    for (std::string& limit : translation.limits(model)) plan.notes.push_back(std::move(limit));
  }
}

void write_folder(const ExportPlan& plan, Run& run) {
  PartFolder part(plan.path);
  for (const auto& [name, bytes] : plan.files) {
    DurableFile file(part.path() / name);
    file.write(bytes);
    file.commit();
  }
  write_safetensors_folder(part.path(), plan.tensors, {{"format", "pt"}, {"vitrine.history", history_text(plan.operations)}}, run);
  std::error_code ignored;
  if (fs::is_directory(plan.path, ignored)) require_model_folder(plan.path);
  part.commit();
}

}  // namespace

Checkpoint names_in_folder(const Model& model) {
  if (!is_gguf(model)) return *model.checkpoint;
  ExportPlan plan{.format = "safetensors", .path = model.path, .family = {}, .tensors = {}, .metadata = {}, .files = {}, .operations = {}, .left_out = {}, .notes = {}};
  plan_translated(model, {.path = model.path, .tokenizer = TokenizerPart::left_out}, translation_for(model, false), plan);
  Checkpoint seen = seen_by_reader(plan, finish_config(model, plan));
  check_description(model, plan, seen);
  return seen;
}

ExportPlan plan_export(const Model& model, const ExportRequest& request) {
  const bool gguf = names_gguf(request.path);
  check_path(model, request);
  check_type(request, gguf);
  ExportPlan plan{.format = gguf ? "gguf" : "safetensors", .path = request.path, .family = {}, .tensors = {}, .metadata = {}, .files = {},
                  .operations = {}, .left_out = {}, .notes = {}};
  const bool same = is_gguf(model) == gguf;
  if (same) plan_same(model, request, plan);
  // llama2.c's files have Hugging Face's names here, but neither its configuration nor its tokenizer.
  if (same && model.checkpoint->format == "llama2c") translated_config(model, translation_for(model, true), vocabulary_of(*model.checkpoint), plan);
  if (!same) plan_translated(model, request, translation_for(model, gguf), plan);
  for (const TensorToWrite& tensor : plan.tensors) static_cast<void>(tensor.bytes());  // a type that does not divide a row
  plan.operations = history_of(model, request, plan.format);
  const Json metadata = gguf ? finish_gguf(model, request, plan) : finish_config(model, plan);
  check_description(model, plan, seen_by_reader(plan, metadata));
  return plan;
}

void write_export(const ExportPlan& plan, Run& run) {
  if (plan.format == "gguf") return write_gguf(plan.path, plan.metadata, plan.tensors, run);
  write_folder(plan, run);
}

ExportPlan write_model(const Model& model, const ExportRequest& request, Run& run) {
  ExportPlan plan = plan_export(model, request);
  write_export(plan, run);
  return plan;
}

}  // namespace vitrine
