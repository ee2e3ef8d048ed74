#include "core/model/export_metadata.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/whole_file.h"
#include "core/model/architecture.h"
#include "core/model/config_keys.h"
#include "core/model/gguf_keys.h"
#include "core/model/metadata.h"
#include "core/model/tokenizer_gguf.h"
#include "core/model/tokenizer_of.h"
#include "core/text/vocabulary_json.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t largest_copied = 256;  // MiB of a tokenizer's file

/// What a folder may hold beside config.json and weights: a tokenizer's files and what else is said of making texts.
constexpr std::array<std::string_view, 21> companions{
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "sentencepiece.model", "spm.model", "source.spm", "target.spm", "generation_config.json", "chat_template.jinja", "chat_template.json",
    "preprocessor_config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"};

/// The keys by which families count their blocks: of one stack, of a decoder beside an encoder, of that encoder.
constexpr std::array<std::string_view, 4> block_counts{"num_hidden_layers", "n_layer", "n_layers", "num_layers"};
constexpr std::array<std::string_view, 2> decoder_counts{"decoder_layers", "num_decoder_layers"}, encoder_counts{"encoder_layers", "num_layers"};

std::size_t encoder_blocks(const ModelSpec& spec) { return spec.encoder.empty() ? 0 : spec.encoder.front().blocks.size(); }

/// Whether blocks were taken out since the model was loaded.
bool has_other_blocks(const Model& model) {
  const ModelSpec before = architecture_of(*model.checkpoint).describe(*model.checkpoint);
  return before.blocks.size() != model.spec.blocks.size() || encoder_blocks(before) != encoder_blocks(model.spec);
}

void set_block_counts(const ModelSpec& spec, Json& config) {
  const auto set = [&](std::span<const std::string_view> keys, std::size_t blocks) {
    for (const std::string_view key : keys) {
      if (config[key].is_integer()) config.set(key, static_cast<std::uint64_t>(blocks));
    }
  };
  if (spec.encoder.empty()) set(block_counts, spec.blocks.size());
  else set(decoder_counts, spec.blocks.size()), set(encoder_counts, encoder_blocks(spec));
  if (config["layer_types"].is_array()) config.set("layer_types", layer_types(spec));
}

void set_block_counts(const ModelSpec& spec, const std::string& family, GgufMetadata& metadata) {
  metadata.set(family + ".block_count", static_cast<std::uint32_t>(spec.encoder.empty() ? spec.blocks.size() : encoder_blocks(spec)));
  if (!spec.encoder.empty()) metadata.set(family + ".decoder_block_count", static_cast<std::uint32_t>(spec.blocks.size()));
}

/// F32, F16, BF16 in transformers' words: the widest that there is.
std::string widest_type(const ExportPlan& plan) {
  std::set<DType> types;
  for (const TensorToWrite& tensor : plan.tensors) types.insert(tensor.type);
  if (types.contains(DType::f32) || types.contains(DType::f64) || (types.contains(DType::f16) && types.contains(DType::bf16))) return "float32";
  return types.contains(DType::bf16) ? "bfloat16" : types.contains(DType::f16) ? "float16" : "float32";
}

/// As they are.
void copy_companions(const Model& model, ExportPlan& plan) {
  std::error_code ignored;
  const fs::path folder = fs::is_directory(model.path, ignored) ? model.path : model.path.parent_path();
  for (const std::string_view name : companions) {
    if (std::optional<std::string> bytes = read_whole_file(folder / name, largest_copied)) plan.files[std::string(name)] = std::move(*bytes);
  }
}

void set_special_ids(const Vocabulary& vocabulary, Json& config) {
  const auto id = [&](const char* key, const std::optional<TokenId>& token) { config.set(key, token ? Json(static_cast<std::int64_t>(*token)) : Json()); };
  id("bos_token_id", vocabulary.special.bos);
  id("eos_token_id", vocabulary.special.eos);
  id("pad_token_id", vocabulary.special.pad);
}

bool is_head(std::string_view tensor) { return tensor == "lm_head.weight" || tensor == "embed_out.weight"; }

}  // namespace

const Translation& translation_for(const Model& model, bool gguf) {
  std::vector<std::string_view> known;
  const std::string family = model_type(*model.checkpoint);
  for (const Translation* translation : all_translations()) {
    const bool named = gguf ? translation->architecture == model.spec.architecture : translation->gguf == family && translation->config;
    if (named && (!translation->fits || translation->fits(model))) return *translation;
    if (gguf || translation->config) known.push_back(gguf ? translation->architecture : translation->gguf);
  }
  std::ranges::sort(known);
  known.erase(std::unique(known.begin(), known.end()), known.end());  // Clang 14 has no ranges::unique
  throw Error({model.path.string(), std::string(gguf ? "a family that GGUF has: " : "a GGUF of ") + joined(known), quoted(gguf ? model.spec.architecture : family),
               gguf ? "a folder (safetensors) holds any family" : ""});
}

Json translated_gguf(const Model& model, const Translation& translation, const Vocabulary& vocabulary, ExportPlan& plan) {
  GgufMetadata& metadata = plan.metadata;
  metadata.set("general.architecture", std::string(translation.gguf));
  metadata.set("general.type", std::string("model"));
  const bool unnamed = model.spec.name.empty() || model.spec.name == model.spec.architecture;
  metadata.set("general.name", unnamed ? fs::weakly_canonical(model.path).stem().string() : model.spec.name);
  for (TensorToWrite& tensor : set_gguf_keys(model, translation.gguf, metadata)) plan.tensors.push_back(std::move(tensor));
  for (std::string& note : limits_of_rope(model, translation.gguf)) plan.notes.push_back(std::move(note));
  if (translation.complete_gguf) translation.complete_gguf(model, metadata);
  for (std::string& note : set_gguf_tokenizer(vocabulary, model.spec.vocabulary, metadata)) plan.notes.push_back(std::move(note));
  return metadata.json();
}

Json translated_config(const Model& model, const Translation& translation, const Vocabulary& vocabulary, ExportPlan& plan) {
  Json config = Json::object().set("architectures", Json::array().push(translation.model_class)).set("model_type", translation.model_type);
  const Json own = translation.config(model);
  for (const auto& [key, value] : own.members()) config.set(key, value);
  config.set("vocab_size", static_cast<std::uint64_t>(model.spec.vocabulary));
  const bool labels = model.spec.readout && model.spec.readout->labels > 0;
  if (!labels && (model.spec.pooling == Pooling::cls || model.spec.pooling == Pooling::last)) {
    plan.notes.push_back(std::string("config.json has no word for the pooling: say --pooling ") + (model.spec.pooling == Pooling::cls ? "cls" : "last"));
  }
  set_special_ids(vocabulary, config);
  if (!vocabulary.model.empty()) {
    plan.files["tokenizer.json"] = tokenizer_json(vocabulary).dump();
    plan.files["tokenizer_config.json"] = tokenizer_config(vocabulary, model.spec.context).dump(2);
  }
  plan.files["config.json"] = config.dump(2);
  return config;
}

Json finish_gguf(const Model& model, const ExportRequest& request, ExportPlan& plan) {
  GgufMetadata& metadata = plan.metadata;
  const bool same = model.checkpoint->format == "gguf";
  if (same) {
    metadata = GgufMetadata(model.checkpoint->raw_metadata);
    if (has_other_blocks(model)) set_block_counts(model.spec, plan.family, metadata);
  }
  const bool types_changed = request.type || request.gguf_file_type || !same || !request.operations.empty();
  if (types_changed) metadata.set("general.file_type", request.gguf_file_type.value_or(gguf_file_type(plan.tensors)));
  const bool blocks = std::ranges::any_of(plan.tensors, [](const TensorToWrite& tensor) { return dtype_info(tensor.type).quantized; });
  if (blocks && !metadata.has("general.quantization_version")) metadata.set("general.quantization_version", std::uint32_t{2});
  if (!plan.operations.empty()) metadata.set("vitrine.history", history_text(plan.operations));
  return metadata.json();
}

Json finish_config(const Model& model, ExportPlan& plan) {
  const bool same = model.checkpoint->format != "gguf" && plan.files.empty();
  Json config = same ? model.checkpoint->metadata : parse_json(plan.files.at("config.json"), plan.path.string());
  if (same) {
    copy_companions(model, plan);
    if (has_other_blocks(model)) set_block_counts(model.spec, config);
  }
  const bool head = std::ranges::any_of(plan.tensors, is_head, &TensorToWrite::name);
  const bool had = same && std::ranges::any_of(model.checkpoint->tensors, is_head, &NamedTensor::name);
  if (!same || head != had) config.set("tie_word_embeddings", !head);
  const std::string type = widest_type(plan);
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (!same || config.has(key)) config.set(key, type);
  }
  if (!plan.operations.empty()) config.set("vitrine", Json::object().set("history", Json(Json::Array(plan.operations.begin(), plan.operations.end()))));
  plan.files["config.json"] = config.dump(2) + "\n";
  return config;
}

std::vector<Json> recorded_history(const Model& model) {
  const Json& metadata = model.checkpoint->metadata;
  Json history;
  if (model.checkpoint->format != "gguf") history = metadata["vitrine"]["history"];
  else if (const Json& text = metadata["vitrine.history"]; text.is_string()) history = parse_json(text.string(), model.path.string() + ": vitrine.history");
  if (history.is_null()) return {};
  const bool known = history.is_array() && std::ranges::all_of(history.items(), &Json::is_object);
  if (!known) throw Error({model.path.string() + ": vitrine.history", "a list of objects", "something else", ""});
  return {history.items().begin(), history.items().end()};
}

std::vector<Json> history_of(const Model& model, const ExportRequest& request, std::string_view format) {
  std::vector<Json> history = recorded_history(model);
  std::vector<Json> added = request.operations;
  const bool changed = model.checkpoint->format != format;
  if (changed || request.type) {
    Json convert = Json::object().set("operation", "convert").set("from", model.checkpoint->format).set("to", format);
    if (request.type) convert.set("type", dtype_info(*request.type).name);
    added.push_back(std::move(convert));
  }
  if (added.empty()) return history;
  const std::string hash = checkpoint_sha256(*model.checkpoint);  // of all its bytes
  for (Json& operation : added) {
    operation.set("program", "vitrine " VITRINE_VERSION).set("source", model.path.filename().string()).set("source_sha256", hash);
    history.push_back(std::move(operation));
  }
  return history;
}

std::string history_text(const std::vector<Json>& operations) { return Json(Json::Array(operations.begin(), operations.end())).dump(); }

void require_model_folder(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool weights = name.starts_with("model") && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"));
    if (entry.is_regular_file() && (weights || name == "config.json" || std::ranges::find(companions, name) != companions.end())) continue;
    throw Error({folder.string(), "a folder that holds a model and nothing else, which may be replaced", quoted(name), "name another folder"}, Fault::usage);
  }
}

}  // namespace vitrine
