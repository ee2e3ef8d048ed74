#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>

#include "experiments/command.h"
#include "experiments/session.h"

namespace vitrine {
namespace {

Json describe(Session& session) {
  const Model& model = session.model();
  const ModelSpec& spec = model.spec;
  const BlockSpec& block = spec.blocks.front();
  std::map<std::string, std::uint64_t> types;
  for (const auto& [key, weight] : model.weights.all()) ++types[std::string(dtype_info(weight.type).name)];
  Json dtypes = Json::object();
  for (const auto& [name, count] : types) dtypes.set(name, count);
  const auto number = [](std::size_t value) { return Json(static_cast<std::uint64_t>(value)); };
  Json json;
  json.set("architecture", spec.architecture).set("name", spec.name).set("format", model.format);
  json.set("blocks", number(spec.blocks.size())).set("width", number(spec.width));
  json.set("heads", number(block.attention.heads)).set("kv_heads", number(block.attention.kv_heads));
  json.set("head_dim", number(block.attention.head_dim)).set("mlp_width", number(block.mlp.width));
  json.set("vocabulary", number(spec.vocabulary)).set("context", number(spec.context));
  json.set("kv", kv_format_name(session.kv_format())).set("kv_bytes_per_token", number(kv_bytes_per_token(spec, session.kv_format())));
  json.set("weight_bytes", number(model.weights.bytes())).set("tensors_by_type", dtypes);
  json.set("tokenizer", model.tokenizer ? Json(std::string(model.tokenizer->model())) : Json());
  json.set("machine", session.ops().describe()).set("threads", number(session.ops().pool().threads()));
  const std::string& reason = session.kernel_reason();
  json.set("attention_kernel", reason.empty() ? session.kernel().spelled : std::string(session.kernel().kernel->name) + " (auto: " + reason + ")");
  return json;
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<CommonOptions>();
  declare_common(app, *options);
  return [options] {
    Session session(*options);
    const Json json = describe(session);
    if (options->json) {
      std::puts(json.dump(2).c_str());
      return;
    }
    for (const auto& [name, value] : json.members()) {
      std::printf("%-16s %s\n", name.c_str(), value.is_string() ? value.string().c_str() : value.dump().c_str());
    }
  };
}

}  // namespace

const Command& command_info() {
  static const Command command{"info", "what a model is and what runs it here", "vitrine info model.gguf --json", declare};
  return command;
}

}  // namespace vitrine
