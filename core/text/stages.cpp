#include "core/text/stages.h"

#include "core/base/error.h"
#include "core/text/names.h"
#include "core/text/regular_expression.h"

namespace vitrine {
namespace {

constexpr int deepest_sequence = 16;

void collect_stages(const Json& json, int depth, std::vector<Json>& stages) {
  if (json.is_null()) return;
  const Json& type = json["type"];
  for (const char* key : {"normalizers", "pretokenizers", "decoders"}) {
    if (depth < deepest_sequence && type.is_string() && type.string() == "Sequence" && json[key].is_array()) {
      for (const Json& each : json[key].items()) collect_stages(each, depth + 1, stages);
      return;
    }
  }
  stages.push_back(json);
}

template <typename Stage>
std::unique_ptr<Stage> make_stage(const Json& json, const std::string& where, std::span<const StageKind<Stage>* const> kinds) {
  const StageSource source(json, where);
  const std::string type = source.type();
  std::vector<std::string> known;
  for (const StageKind<Stage>* kind : kinds) {
    for (const std::string_view name : kind->types) {
      if (name == type) return kind->make(source);
      known.emplace_back(name);
    }
  }
  throw Error({where, one_of(type, known), quoted(type), ""});
}

template <typename Stage>
std::vector<std::unique_ptr<Stage>> make_stages(const Json& json, const std::string& where, std::span<const StageKind<Stage>* const> kinds) {
  std::vector<std::unique_ptr<Stage>> stages;
  for (const Json& each : single_stages(json)) stages.push_back(make_stage<Stage>(each, where, kinds));
  return stages;
}

}  // namespace

std::string StageSource::type() const {
  if (!json_["type"].is_string()) refuse("type", "a text", quoted(json_["type"].dump()));
  return json_["type"].string();
}

void StageSource::refuse(std::string_view key, std::string expected, std::string found) const {
  const Json& type = json_["type"];
  throw Error({where_ + (type.is_string() ? " " + quoted(type.string()) : "") + ": " + std::string(key), std::move(expected), std::move(found), ""});
}

bool StageSource::flag(std::string_view key, bool otherwise) const {
  const Json& value = json_[key];
  if (value.is_null()) return otherwise;
  if (!value.is_bool()) refuse(key, "true or false", quoted(value.dump()));
  return value.boolean();
}

std::string StageSource::text(std::string_view key, std::string_view otherwise) const {
  return json_[key].is_null() ? std::string(otherwise) : required_text(key);
}

std::string StageSource::required_text(std::string_view key) const {
  const Json& value = json_[key];
  if (!value.is_string()) refuse(key, "a text", quoted(value.dump()));
  return value.string();
}

std::int64_t StageSource::integer(std::string_view key, std::int64_t otherwise) const {
  const Json& value = json_[key];
  if (value.is_null()) return otherwise;
  if (!value.is_integer()) refuse(key, "a whole number", quoted(value.dump()));
  return value.integer();
}

std::string StageSource::content() const {
  constexpr std::size_t longest = 1024;
  std::string text = required_text("content");
  if (text.size() > longest) refuse("content", "at most 1,024 bytes", std::to_string(text.size()));
  return text;
}

std::string StageSource::pattern() const {
  const Json& value = json_["pattern"];
  if (value["Regex"].is_string()) return value["Regex"].string();
  if (value["String"].is_string()) return escaped_literal(value["String"].string());
  refuse("pattern", "Regex or String", quoted(value.dump()));
}

std::vector<Json> single_stages(const Json& json) {
  std::vector<Json> stages;
  collect_stages(json, 0, stages);
  return stages;
}

std::vector<std::unique_ptr<Normalizer>> make_normalizers(const Json& json, const std::string& where) {
  return make_stages<Normalizer>(json, where + ": normalizer", all_normalizers());
}
std::vector<std::unique_ptr<PreTokenizer>> make_pre_tokenizers(const Json& json, const std::string& where) {
  return make_stages<PreTokenizer>(json, where + ": pre_tokenizer", all_pre_tokenizers());
}
std::vector<std::unique_ptr<Decoder>> make_decoders(const Json& json, const std::string& where) {
  return make_stages<Decoder>(json, where + ": decoder", all_decoders());
}

}  // namespace vitrine
