#include "experiments/model_description.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/model/export.h"

namespace vitrine {
namespace {

Json number(std::size_t value) { return static_cast<std::uint64_t>(value); }

std::string positions_of(const ModelSpec& spec) {
  const AttentionSpec& attention = spec.blocks.front().attention;
  if (spec.learned_positions) return spec.position_table == PositionTable::file ? "a table" : "sines";
  if (attention.relative) return "sines of distances (Transformer-XL)";
  if (attention.distance_buckets) return number(attention.distance_buckets->count).dump() + " buckets of distances";
  if (!attention.distance_slopes.empty()) return "slopes by distance (ALiBi)";
  if (attention.rope == RopeKind::none) return "none";
  return "rotary, " + number(attention.rope_dim).dump() + " of " + number(attention.head_dim).dump() + " numbers of a head";
}

/// What comes out of the model, for people.
std::string output_of(const ModelSpec& spec) {
  std::string out = !spec.has_head ? "" : spec.causal() ? "the next token" : spec.query_stream ? "tokens in any order" : "masked tokens";
  if (spec.readout) out += (out.empty() ? "" : "; ") + (spec.readout->labels > 0 ? number(spec.readout->labels).dump() + " labels" : std::string("a pooled vector"));
  return out.empty() ? "vectors" : out;
}

void describe_stack(Json& json, const ModelSpec& spec, const std::string& prefix) {
  const BlockSpec& block = spec.blocks.front();
  json.set(prefix + "blocks", number(spec.blocks.size())).set(prefix + "width", number(spec.width));
  json.set(prefix + "heads", number(block.attention.heads)).set(prefix + "kv_heads", number(block.attention.kv_heads));
  json.set(prefix + "head_dim", number(block.attention.head_dim)).set(prefix + "mlp_width", number(block.mlp.width));
  if (block.mlp.experts > 0) json.set(prefix + "experts", number(block.mlp.experts)).set(prefix + "experts_per_token", number(block.mlp.experts_per_row));
  std::size_t windowed = 0, window = 0;
  for (const BlockSpec& any : spec.blocks) {
    windowed += any.attention.window > 0 ? 1 : 0;
    window = std::max(window, any.attention.window);
  }
  if (windowed > 0) json.set(prefix + "window", number(window)).set(prefix + "windowed_blocks", number(windowed));
  json.set(prefix + "positions", positions_of(spec));
}

void describe_weights(Json& json, const Model& model) {
  std::map<std::string, std::uint64_t> types;
  for (const auto& [key, weight] : model.weights.all()) ++types[std::string(dtype_info(weight.type).name)];
  Json dtypes = Json::object();
  for (const auto& [name, count] : types) dtypes.set(name, count);
  json.set("parameters", number(model.parameters)).set("weight_bytes", number(model.weights.bytes())).set("tensors_by_type", dtypes);
  Json unused = Json::array();
  for (const std::string& name : model.unused) unused.push(name);
  json.set("unused_tensors", unused);
}

/// A file whose history makes no sense can be looked at all the same.
Json history_of(const Model& model) {
  try {
    Json history = Json::array();
    for (const Json& operation : recorded_history(model)) history.push(operation);
    return history;
  } catch (const Error& error) {
    return std::string("unreadable: ") + error.what();
  }
}

}  // namespace

Json describe(Session& session) {
  const Model& model = session.model();
  const ModelSpec& spec = model.spec;
  Json json;
  json.set("architecture", spec.architecture).set("name", spec.name).set("format", model.format);
  for (const ModelSpec& encoder : spec.encoder) describe_stack(json, encoder, "encoder_");
  describe_stack(json, spec, spec.encoder.empty() ? "" : "decoder_");
  json.set("vocabulary", number(spec.vocabulary)).set("context", spec.context == 0 ? Json("no limit") : number(spec.context));
  json.set("output", output_of(spec));
  if (spec.causal()) {
    json.set("kv", kv_format_name(session.kv_format())).set("kv_bytes_per_token", number(kv_bytes_per_token(spec, session.kv_format())));
    if (!spec.encoder.empty()) json.set("kv_bytes_per_source_token", number(kv_bytes_per_token(spec, session.kv_format(), AttentionRole::cross)));
  }
  describe_weights(json, model);
  json.set("history", history_of(model));
  json.set("tokenizer", model.tokenizer ? Json(std::string(model.tokenizer->model())) : Json());
  json.set("machine", session.ops().describe()).set("threads", number(session.ops().pool().threads()));
  const std::string& reason = session.kernel_reason();
  json.set("attention_kernel", reason.empty() ? session.kernel().spelled : std::string(session.kernel().kernel->name) + " (auto: " + reason + ")");
  return json;
}

}  // namespace vitrine
