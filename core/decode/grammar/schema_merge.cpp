// Schemas joined: allOf, words beside anyOf.
#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/decode/grammar/schema_text_internal.h"

namespace vitrine {
namespace {

Json all_of(const Json& a, const Json& b) { return Json::object().set("allOf", Json::array().push(a).push(b)); }
bool same(const Json& a, const Json& b) { return a.is_number() && b.is_number() ? a.number() == b.number() : a.dump() == b.dump(); }

std::vector<std::string> types_of(const Json& type) {
  if (type.is_string()) return {type.string()};
  std::vector<std::string> names;
  if (type.is_array()) {
    for (const Json& name : type.items()) {
      if (name.is_string()) names.push_back(name.string());
    }
  }
  return names;
}

Json merged_types(const Json& a, const Json& b) {
  const std::vector<std::string> left = types_of(a), right = types_of(b);
  Json both = Json::array();
  const auto has = [](const std::vector<std::string>& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); };
  for (const std::string& name : left) {
    if (has(right, name) || (name == "integer" && has(right, "number"))) both.push(name);
    else if (name == "number" && has(right, "integer") && !has(left, "integer")) both.push("integer");
  }
  if (both.items().empty()) throw Unsatisfiable{"types " + a.dump() + " and " + b.dump() + " have none in common"};
  return both.items().size() == 1 ? both.items()[0] : both;
}

Json merged_choices(const Json& a, const Json& b) {
  Json both = Json::array();
  for (const Json& value : a.items()) {
    if (std::ranges::any_of(b.items(), [&](const Json& other) { return same(value, other); })) both.push(value);
  }
  if (both.items().empty()) throw Unsatisfiable{"enum " + a.dump() + " and " + b.dump() + " have nothing in common"};
  return both;
}

/// Properties of either side, each held to what the other side says of it, be it by name or as one of the rest.
void merge_objects(const Json& a, const Json& b, Json& out) {
  const auto rest_of = [](const Json& schema) { return schema["additionalProperties"]; };
  Json properties = Json::object();
  const auto add = [&](const Json& own, const Json& other) {
    for (const auto& [name, schema] : own["properties"].members()) {
      if (properties.has(name)) continue;
      const Json& named = other["properties"][name];
      const Json rest = rest_of(other);
      if (!named.is_null()) properties.set(name, same(schema, named) ? schema : all_of(schema, named));
      else if (rest.is_null() || (rest.is_bool() && rest.boolean())) properties.set(name, schema);
      else properties.set(name, rest.is_bool() ? Json(false) : all_of(schema, rest));
    }
  };
  if (a["properties"].is_object()) add(a, b);
  if (b["properties"].is_object()) add(b, a);
  if (!properties.members().empty() || a["properties"].is_object() || b["properties"].is_object()) out.set("properties", properties);
  const Json left = rest_of(a), right = rest_of(b);
  const auto closed = [](const Json& rest) { return rest.is_bool() && !rest.boolean(); };
  const auto open = [](const Json& rest) { return rest.is_null() || (rest.is_bool() && rest.boolean()); };
  if (left.is_null() && right.is_null()) return;
  if (closed(left) || closed(right)) out.set("additionalProperties", false);
  else if (open(left)) out.set("additionalProperties", right.is_null() ? left : right);
  else if (open(right)) out.set("additionalProperties", left);
  else out.set("additionalProperties", all_of(left, right));
}

Json merged_lists(const Json& a, const Json& b, const std::string& where) {
  if (!a.is_array() || !b.is_array() || a.items().size() != b.items().size()) throw Error({where, "prefixItems of one length in all parts of allOf", "two", ""});
  Json both = Json::array();
  for (std::size_t i = 0; i < a.items().size(); ++i) both.push(all_of(a.items()[i], b.items()[i]));
  return both;
}

bool is_lower_bound(std::string_view key) { return key == "minimum" || key == "exclusiveMinimum" || key == "minLength" || key == "minItems" || key == "minProperties"; }
bool is_upper_bound(std::string_view key) { return key == "maximum" || key == "exclusiveMaximum" || key == "maxLength" || key == "maxItems" || key == "maxProperties"; }

Json merged_values(const std::string& key, const Json& a, const Json& b, const std::string& where) {
  if (same(a, b)) return a;
  if (key == "type") return merged_types(a, b);
  if (key == "enum" && a.is_array() && b.is_array()) return merged_choices(a, b);
  if (is_lower_bound(key) && a.is_number() && b.is_number()) return a.number() < b.number() ? b : a;
  if (is_upper_bound(key) && a.is_number() && b.is_number()) return a.number() > b.number() ? b : a;
  if (key == "required" && a.is_array() && b.is_array()) {
    Json both = a;
    for (const Json& name : b.items()) {
      if (std::ranges::none_of(a.items(), [&](const Json& other) { return same(name, other); })) both.push(name);
    }
    return both;
  }
  if (key == "items") return all_of(a, b);
  if (key == "prefixItems") return merged_lists(a, b, where);
  if (key == "anyOf" && a.is_array() && b.is_array()) {
    if (a.items().size() * b.items().size() > 256) throw Error({where, "at most 256 combinations of anyOf", "more", ""});
    Json both = Json::array();
    for (const Json& left : a.items()) {
      for (const Json& right : b.items()) both.push(all_of(left, right));
    }
    return both;
  }
  throw Error({where, key + " once among schemas that hold together", a.dump() + " and " + b.dump(), "a grammar cannot join them"});
}

}  // namespace

Json merged_schemas(const Json& a, const Json& b, const std::string& where) {
  if (a.is_bool()) return a.boolean() ? b : throw Unsatisfiable{"a schema is false"};
  if (b.is_bool()) return b.boolean() ? a : throw Unsatisfiable{"a schema is false"};
  Json out = Json::object();
  const auto is_object_word = [](std::string_view key) { return key == "properties" || key == "additionalProperties"; };
  for (const auto& [key, value] : a.members()) {
    if (!is_object_word(key)) out.set(key, b.has(key) ? merged_values(key, value, b[key], where) : value);
  }
  for (const auto& [key, value] : b.members()) {
    if (!is_object_word(key) && !a.has(key)) out.set(key, value);
  }
  merge_objects(a, b, out);
  return out;
}

Json with_enum_for_const(Json schema) {
  if (!schema.is_object()) return schema;
  for (const auto& [key, value] : schema.members()) {  // has() does not see a null
    if (key != "const") continue;
    const Json only = Json::array().push(value);
    Json rest = Json::object();
    for (const auto& [other, kept] : schema.members()) {
      if (other != "const" && other != "enum") rest.set(other, kept);
    }
    return rest.set("enum", schema.has("enum") ? merged_values("enum", only, schema["enum"], "") : only);
  }
  return schema;
}

bool surely_disjoint(const Json& first, const Json& second) {
  const Json a = with_enum_for_const(first), b = with_enum_for_const(second);
  if (a.is_bool() || b.is_bool()) return (a.is_bool() && !a.boolean()) || (b.is_bool() && !b.boolean());
  try {
    for (const char* key : {"type", "enum"}) {
      if (a.has(key) && b.has(key)) merged_values(key, a[key], b[key], "");
    }
  } catch (const Unsatisfiable&) {
    return true;
  }
  const auto above = [](const Json& low, const Json& high) {
    const auto bound = [](const Json& schema, const char* closed, const char* open) { return schema.has(closed) && schema[closed].is_number() ? std::optional(schema[closed].number()) : schema.has(open) && schema[open].is_number() ? std::optional(schema[open].number()) : std::nullopt; };
    const auto least = bound(high, "minimum", "exclusiveMinimum"), most = bound(low, "maximum", "exclusiveMaximum");
    const bool numbers = !types_of(low["type"]).empty() && !types_of(high["type"]).empty();
    return numbers && least && most && (*least > *most || (*least == *most && (!high.has("minimum") || !low.has("maximum"))));
  };
  if (types_of(a["type"]).size() == 1 && types_of(b["type"]).size() == 1 && (above(a, b) || above(b, a))) return true;
  const auto requires_name = [](const Json& schema, const std::string& name) {
    return schema["required"].is_array() && std::ranges::any_of(schema["required"].items(), [&](const Json& other) { return other.is_string() && other.string() == name; });
  };
  const auto only_objects = [](const Json& schema) { return types_of(schema["type"]) == std::vector<std::string>{"object"}; };
  if (!only_objects(a) || !only_objects(b)) return false;
  const auto apart = [&](const Json& left, const Json& right) {
    if (!left["required"].is_array()) return false;
    return std::ranges::any_of(left["required"].items(), [&](const Json& key) {
      if (!key.is_string()) return false;
      const Json& mine = left["properties"][key.string()];
      const Json& other = right["properties"][key.string()];
      const bool other_closed = right["additionalProperties"].is_bool() && !right["additionalProperties"].boolean();
      if (other.is_null()) return other_closed;
      return requires_name(right, key.string()) && !mine.is_null() && surely_disjoint(mine, other);
    });
  };
  return apart(a, b) || apart(b, a);
}

}  // namespace vitrine
