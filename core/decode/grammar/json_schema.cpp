#include "core/decode/grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/decode/grammar/schema_text_internal.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

constexpr std::size_t most_depth = 64, most_count = 100'000, most_rules = 50'000;

// Words that say nothing of what a value may be.
constexpr std::array annotations{"$schema", "$id", "id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example",
                                 "deprecated", "readOnly", "writeOnly", "contentMediaType", "contentEncoding"};
constexpr std::array object_words{"properties", "required", "additionalProperties", "minProperties", "maxProperties"};
constexpr std::array array_words{"items", "prefixItems", "minItems", "maxItems", "uniqueItems"};
constexpr std::array string_words{"minLength", "maxLength", "pattern", "format"};
constexpr std::array number_words{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
constexpr std::array other_words{"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "additionalItems"};

bool among(const auto& words, std::string_view key) { return std::ranges::find(words, key) != words.end(); }
bool has_any(const Json& schema, const auto& words) {
  return std::ranges::any_of(words, [&](const char* word) { return schema.has(word); });
}
bool is_annotation(std::string_view key) { return among(annotations, key) || key.starts_with("x-"); }

class Converter {
 public:
  Converter(const Json& schema, const std::string& where) : schema_(schema), where_(where) {}

  std::string convert() {
    const std::string root = expression(schema_, "#", 0);
    while (!waiting_.empty()) {  // one after the other: a chain of references is no depth
      const std::string ref = waiting_.back();
      waiting_.pop_back();
      rules_.emplace_back(references_[ref], expression(followed(ref, ref), ref, 0));
    }
    std::string text = "root ::= " + root + "\n";
    for (const auto& [name, body] : rules_) text += name + " ::= " + body + "\n";
    text += gbnf_json_rules();
    return text + std::string(gbnf_format_rules());
  }

 private:
  [[noreturn]] void fail(const std::string& path, const std::string& expected, const std::string& found) const {
    throw Error({where_ + " " + path, expected, found, ""});
  }
  std::string new_name(std::string_view hint) {
    if (++names_ > most_rules) throw Error({where_, "a schema of at most " + std::to_string(most_rules) + " parts", "more", ""});
    std::string name = "s" + std::to_string(names_) + "-";
    for (const char c : hint.substr(0, 40)) name += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '-';
    return name;
  }
  std::string add_rule(std::string_view hint, std::string body) {
    rules_.emplace_back(new_name(hint), std::move(body));
    return rules_.back().first;
  }

  /// A schema as an expression that can stand in a sequence.
  std::string expression(const Json& schema, const std::string& path, std::size_t depth) {
    try {
      return expression_of(flat(schema, path, depth), path, depth);
    } catch (const Unsatisfiable& contradiction) {
      fail(path, "a schema that some value satisfies", contradiction.reason);
    }
  }

  std::string expression_of(const Json& schema, const std::string& path, std::size_t depth) {
    if (schema.is_bool()) {
      if (!schema.boolean()) throw Unsatisfiable{"false"};
      return "value";
    }
    if (schema.has("$ref")) return reference(schema["$ref"].string(), path);
    for (const char* word : {"anyOf", "oneOf"}) {
      if (schema.has(word)) return alternatives(schema, word, path, depth);
    }
    if (schema.has("enum")) return enumeration(schema, path);
    std::string choices;
    const auto add = [&](const std::string& choice) { choices += (choices.empty() ? "" : " | ") + choice; };
    const std::vector<std::string> types = types_of(schema, path);
    for (const std::string& type : types) {
      if (type == "object") add(object(schema, path, depth));
      else if (type == "array") add(array(schema, path, depth));
      else if (type == "string") add(string(schema, path));
      else if (type == "integer" && std::ranges::find(types, "number") == types.end()) add(number(schema, path, gbnf_integers));
      else if (type == "number") add(number(schema, path, gbnf_numbers));
      else if (type == "boolean" || type == "null") add(type);
    }
    return types.empty() ? "value" : types.size() == 1 ? choices : "(" + choices + ")";
  }

  /// The types that a schema asks for; where it names none, those that its words are about; none where it has no such words.
  std::vector<std::string> types_of(const Json& schema, const std::string& path) const {
    const Json& type = schema["type"];
    std::vector<std::string> types;
    if (type.is_null()) {
      if (has_any(schema, object_words)) types.emplace_back("object");
      if (has_any(schema, array_words)) types.emplace_back("array");
      if (has_any(schema, string_words)) types.emplace_back("string");
      if (has_any(schema, number_words)) types.emplace_back("number");
      return types;
    }
    const Json list = type.is_array() ? type : Json::array().push(type);
    if (list.items().empty()) fail(path + "/type", "a type", "none");
    for (const Json& name : list.items()) {
      static constexpr std::array known{"object", "array", "string", "integer", "number", "boolean", "null"};
      if (!name.is_string() || !among(known, name.string())) fail(path + "/type", "object, array, string, integer, number, boolean or null", name.dump());
      types.push_back(name.string());
    }
    return types;
  }

  /// Without allOf, const and the older forms; $ref stays only where it stands alone.
  Json flat(const Json& schema, const std::string& path, std::size_t depth) {
    if (depth > most_depth) fail(path, "at most 64 schemas inside each other", "more, or one that leads to itself");
    if (++flattened_ > 8 * most_rules) fail(path, "a schema whose parts can be joined", "too many");
    if (schema.is_bool()) return schema;
    if (!schema.is_object()) fail(path, "a schema: an object, true or false", schema.dump().substr(0, 40));
    Json own = Json::object();
    bool alone = true;
    for (const auto& [key, value] : schema.members()) {
      if (is_annotation(key)) continue;
      if (!among(object_words, key) && !among(array_words, key) && !among(string_words, key) && !among(number_words, key) && !among(other_words, key)) {
        fail(path + "/" + key, "a word that a grammar can follow", quoted(key));
      }
      alone &= key == "$ref";
      if (key != "$ref" && key != "allOf") own.set(key, value);
    }
    const Json& ref = schema["$ref"];
    if (!ref.is_null() && !ref.is_string()) fail(path + "/$ref", "the place of a schema", ref.dump());
    if (!ref.is_null() && alone) return Json::object().set("$ref", ref);
    Json all = tuple_as_prefix(with_enum_for_const(std::move(own)));
    if (!ref.is_null()) all = merged_schemas(all, flat(followed(ref.string(), path), path + "/$ref", depth + 1), where_ + " " + path);
    const Json& parts = schema["allOf"];
    if (!parts.is_null() && !parts.is_array()) fail(path + "/allOf", "a list of schemas", parts.dump().substr(0, 40));
    for (std::size_t i = 0; parts.is_array() && i < parts.items().size(); ++i) {
      all = merged_schemas(all, unreferred(parts.items()[i], path + "/allOf/" + std::to_string(i), depth + 1), where_ + " " + path);
    }
    return all;
  }
  /// flat(), and a lone $ref followed too.
  Json unreferred(const Json& schema, const std::string& path, std::size_t depth) {
    Json all = flat(schema, path, depth);
    for (std::size_t steps = 0; all.is_object() && all.has("$ref"); ++steps) {
      if (steps > most_depth) fail(path, "a $ref that leads somewhere", "one that leads to itself");
      all = flat(followed(all["$ref"].string(), path), path + "/$ref", depth + 1);
    }
    return all;
  }
  static Json tuple_as_prefix(Json schema) {
    if (!schema["items"].is_array()) return schema;
    Json out = Json::object();
    for (const auto& [key, value] : schema.members()) {
      if (key == "items") out.set("prefixItems", value);
      else if (key == "additionalItems") out.set("items", value);
      else out.set(key, value);
    }
    return out;
  }

  const Json& followed(const std::string& ref, const std::string& path) const {
    if (!ref.starts_with('#') || (ref.size() > 1 && ref[1] != '/')) fail(path + "/$ref", "a place in this schema, as in #/$defs/name", quoted(ref));
    const Json* at = &schema_;
    for (std::size_t begin = 2; begin <= ref.size() && ref.size() > 1;) {
      const std::size_t end = std::min(ref.find('/', begin), ref.size());
      std::string key = ref.substr(begin, end - begin);
      for (const auto& [from, to] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}, std::pair{"%25", "%"}}) {
        for (std::size_t found = 0; (found = key.find(from, found)) != std::string::npos; ++found) key.replace(found, std::string_view(from).size(), to);
      }
      if (at->is_array()) {
        const bool number = !key.empty() && key.size() < 7 && key.find_first_not_of("0123456789") == std::string::npos;
        at = number && std::stoul(key) < at->items().size() ? &at->items()[std::stoul(key)] : nullptr;
      } else {
        at = at->has(key) ? &(*at)[key] : nullptr;
      }
      if (!at) fail(path + "/$ref", "a place in this schema", quoted(ref));
      begin = end + 1;
    }
    return *at;
  }

  /// A rule for each place that is referred to, so that schemas may contain themselves.
  std::string reference(const std::string& ref, const std::string& path) {
    const auto known = references_.find(ref);
    if (known != references_.end()) return known->second;
    unreferred(followed(ref, path), path, 0);  // leads somewhere
    waiting_.push_back(ref);
    return references_[ref] = new_name(ref.substr(ref.rfind('/') + 1));
  }

  std::string alternatives(const Json& schema, const std::string& word, const std::string& path, std::size_t depth) {
    const Json& parts = schema[word];
    if (!parts.is_array() || parts.items().empty()) fail(path + "/" + word, "a list of schemas", parts.dump().substr(0, 40));
    Json rest = Json::object();
    for (const auto& [key, value] : schema.members()) {
      if (key != word) rest.set(key, value);
    }
    std::vector<std::string> choices;
    std::vector<Json> kept;
    std::string reason;
    for (std::size_t i = 0; i < parts.items().size(); ++i) {
      const std::string place = path + "/" + word + "/" + std::to_string(i);
      try {
        const Json& part = parts.items()[i];
        const bool plain = rest.members().empty();
        const Json whole = plain && word == "anyOf" ? flat(part, place, depth + 1) : merged_schemas(rest, unreferred(part, place, depth + 1), where_ + " " + place);
        choices.push_back(expression_of(plain ? flat(part, place, depth + 1) : whole, place, depth + 1));
        kept.push_back(whole);
      } catch (const Unsatisfiable& contradiction) {
        reason = contradiction.reason;
      }
    }
    if (choices.empty()) throw Unsatisfiable{reason};
    for (std::size_t i = 0; word == "oneOf" && i < kept.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (!surely_disjoint(kept[i], kept[j])) fail(path + "/oneOf", "alternatives of which a grammar can see that never two hold", "some that may overlap; anyOf says so");
      }
    }
    std::string text;
    for (const std::string& choice : choices) text += (text.empty() ? "" : " | ") + choice;
    return choices.size() == 1 ? text : "(" + text + ")";
  }

  std::string enumeration(const Json& schema, const std::string& path) {
    if (!schema["enum"].is_array()) fail(path + "/enum", "a list of values", schema["enum"].dump().substr(0, 40));
    std::string choices;
    for (const Json& value : schema["enum"].items()) {
      if (!holds(schema, value, path)) continue;
      choices += (choices.empty() ? "" : " | ") + constant(value);
    }
    if (choices.empty()) throw Unsatisfiable{"no value of enum is of the type and within the bounds asked for"};
    return "(" + choices + ")";
  }
  /// One value, with the white space that JSON has inside it.
  static std::string constant(const Json& value) {
    std::string parts;
    const auto add = [&](const std::string& part) { parts += (parts.empty() ? "" : " ws \",\" ws ") + part; };
    if (value.is_array()) {
      for (const Json& item : value.items()) add(constant(item));
      return "\"[\" ws " + (parts.empty() ? "" : parts + " ws ") + "\"]\"";
    }
    if (value.is_object()) {
      for (const auto& [name, member] : value.members()) add(gbnf_literal(Json(name).dump()) + " ws \":\" ws " + constant(member));
      return "\"{\" ws " + (parts.empty() ? "" : parts + " ws ") + "\"}\"";
    }
    return gbnf_literal(value.dump());
  }
  /// Whether a value of an enum is of the type and within the bounds beside it.
  bool holds(const Json& schema, const Json& value, const std::string& path) const {
    for (const char* word : {"pattern", "format", "items", "prefixItems", "properties", "required"}) {
      if (schema.has(word)) fail(path + "/" + word, "enum with a type and bounds alone beside it", word);
    }
    const auto is = [&](const std::string& type) {
      if (type == "integer") return value.is_integer() || (value.is_number() && value.number() == static_cast<double>(static_cast<std::int64_t>(value.number())));
      return type == "object" ? value.is_object() : type == "array" ? value.is_array() : type == "string" ? value.is_string() : type == "number" ? value.is_number() : type == "boolean" ? value.is_bool() : value.is_null();
    };
    if (schema.has("type")) {
      const std::vector<std::string> types = types_of(schema, path);
      if (std::ranges::none_of(types, is)) return false;
    }
    if (value.is_number()) {
      const NumberBounds bounds = bounds_of(schema, path);
      const double x = value.number();
      return !(bounds.least && (x < *bounds.least || (bounds.above && x == *bounds.least))) && !(bounds.most && (x > *bounds.most || (bounds.below && x == *bounds.most)));
    }
    const auto [least, most] = counts(schema, "minLength", "maxLength", path);
    return !value.is_string() || (count_characters(value.string()) >= least && count_characters(value.string()) <= most);
  }

  NumberBounds bounds_of(const Json& schema, const std::string& path) const {
    const auto bound = [&](const char* key) -> std::optional<double> {
      const Json& value = schema[key];
      if (value.is_null()) return {};
      if (!value.is_number()) fail(path + "/" + key, "a number", value.dump());
      return value.number();
    };
    NumberBounds bounds{bound("minimum"), bound("maximum"), false, false};
    if (const auto least = bound("exclusiveMinimum"); least && (!bounds.least || *least >= *bounds.least)) bounds.least = least, bounds.above = true;
    if (const auto most = bound("exclusiveMaximum"); most && (!bounds.most || *most <= *bounds.most)) bounds.most = most, bounds.below = true;
    return bounds;
  }
  std::string number(const Json& schema, const std::string& path, std::string (*write)(const NumberBounds&, const std::string&)) {
    return write(bounds_of(schema, path), where_ + " " + path);
  }

  struct Counts {
    std::size_t least = 0, most = SIZE_MAX;
  };
  Counts counts(const Json& schema, const char* least_key, const char* most_key, const std::string& path) const {
    Counts result;
    for (const auto& [key, count] : {std::pair{least_key, &result.least}, std::pair{most_key, &result.most}}) {
      const Json& value = schema[key];
      if (value.is_null()) continue;
      const double number = value.is_number() ? value.number() : -1;
      if (number < 0 || number > 1e15 || number != static_cast<double>(static_cast<std::int64_t>(number))) fail(path + "/" + key, "a whole number", value.dump());
      *count = static_cast<std::size_t>(number);
    }
    if (result.least > result.most) throw Unsatisfiable{std::string(least_key) + " is more than " + most_key};
    if (result.least > most_count) fail(path + "/" + least_key, "at most 100000", std::to_string(result.least));
    if (result.most != SIZE_MAX) result.most = std::min(result.most, most_count);  // longer ones are not made
    return result;
  }
  static std::string repeated(const Counts& counts) {
    return "{" + std::to_string(counts.least) + "," + (counts.most == SIZE_MAX ? "" : std::to_string(counts.most)) + "}";
  }

  std::string string(const Json& schema, const std::string& path) {
    const Counts length = counts(schema, "minLength", "maxLength", path);
    const bool bounded = length.least > 0 || length.most != SIZE_MAX;
    const Json &pattern = schema["pattern"], &format = schema["format"];
    if (!pattern.is_null() && !format.is_null()) fail(path, "a pattern or a format", "both");
    if (!pattern.is_null()) {
      if (!pattern.is_string()) fail(path + "/pattern", "a regular expression", pattern.dump());
      const PatternGrammar match = grammar_of_pattern(pattern.string(), where_ + " " + path + "/pattern");
      if (match.least < length.least || match.most > length.most) fail(path, "a pattern whose matches all have the length asked for", "bounds on it that a grammar cannot add");
      return "\"\\\"\" (" + match.text + ") \"\\\"\"";
    }
    if (!format.is_null()) {
      const char* rule = format.is_string() ? gbnf_format(format.string()) : nullptr;
      if (!rule) fail(path + "/format", "date, time, date-time, uuid or ipv4", format.dump());
      if (bounded) fail(path, "a format or a length", "both");
      return "\"\\\"\" " + std::string(rule) + " \"\\\"\"";
    }
    return bounded ? "\"\\\"\" character" + repeated(length) + " \"\\\"\"" : "string";
  }

  std::string array(const Json& schema, const std::string& path, std::size_t depth) {
    if (const Json& unique = schema["uniqueItems"]; !unique.is_null() && !(unique.is_bool() && !unique.boolean())) fail(path + "/uniqueItems", "false", unique.dump());
    Counts counts = this->counts(schema, "minItems", "maxItems", path);
    const Json& prefix = schema["prefixItems"];
    if (!prefix.is_null() && !prefix.is_array()) fail(path + "/prefixItems", "a list of schemas", prefix.dump().substr(0, 40));
    const std::size_t first = prefix.is_array() ? prefix.items().size() : 0;
    const Json& items = schema["items"];
    const bool none_behind = (items.is_bool() && !items.boolean()) || (items.is_null() && first > 0 && counts.least <= first);
    if (none_behind) counts.most = std::min(counts.most, first);
    if (counts.least > counts.most) throw Unsatisfiable{"more items are asked for than there may be"};
    std::string tail;  // what follows the prefix, from its last schema on
    if (counts.most > first) {
      const std::string item = add_rule("item", items.is_null() ? "value" : expression(items, path + "/items", depth + 1));
      const Counts behind{counts.least > first ? counts.least - first : 0, counts.most == SIZE_MAX ? SIZE_MAX : counts.most - first};
      tail = first > 0 ? "(ws \",\" ws " + item + ")" + repeated(behind) : list_of(item, behind);
    }
    for (std::size_t i = std::min(first, counts.most); i-- > 0;) {
      const std::string item = expression(prefix.items()[i], path + "/prefixItems/" + std::to_string(i), depth + 1);
      const std::string from_here = (i > 0 ? "ws \",\" ws " : "") + item + " " + tail;
      tail = add_rule("items", i >= counts.least ? "(" + from_here + ")?" : from_here);
    }
    if (tail.empty()) return "\"[\" ws \"]\"";
    return "\"[\" ws " + tail + " ws \"]\"";
  }
  /// Items with commas between them.
  static std::string list_of(const std::string& item, const Counts& counts) {
    const Counts behind{counts.least > 0 ? counts.least - 1 : 0, counts.most == SIZE_MAX ? SIZE_MAX : counts.most - 1};
    const std::string list = "(" + item + (behind.most == 0 ? "" : " (ws \",\" ws " + item + ")" + repeated(behind)) + ")";
    return counts.least > 0 ? list : list + "?";
  }

  struct Property {
    std::string pair;  // a rule: name, colon and value
    bool required = false;
  };

  std::string object(const Json& schema, const std::string& path, std::size_t depth) {
    const Json& rest = schema["additionalProperties"];
    if (!rest.is_null() && !rest.is_bool() && !rest.is_object()) fail(path + "/additionalProperties", "a schema", rest.dump());
    if (!schema["properties"].is_null() && !schema["properties"].is_object()) fail(path + "/properties", "an object of schemas", schema["properties"].dump().substr(0, 40));
    std::vector<std::string> names;
    const std::vector<Property> properties = properties_of(schema, names, path, depth);
    // Without a word on properties an object is free; with one it has those alone unless the schema lets more in by name.
    const bool open = rest.is_null() ? properties.empty() && schema["properties"].is_null() : !(rest.is_bool() && !rest.boolean());
    const auto required = static_cast<std::size_t>(std::ranges::count(properties, true, &Property::required));
    Counts counts = this->counts(schema, "minProperties", "maxProperties", path);
    if (counts.least > std::max<std::size_t>(required, properties.empty() && open ? 1 : 0)) fail(path + "/minProperties", "no more than are required", std::to_string(counts.least));
    if (counts.most != SIZE_MAX && (open ? !properties.empty() : counts.most < properties.size())) fail(path + "/maxProperties", "no fewer than there may be", std::to_string(counts.most));
    std::string more;
    if (open) {
      const std::string value = rest.is_object() ? expression(rest, path + "/additionalProperties", depth + 1) : "value";
      more = add_rule("more", key_other_than(names) + " ws \":\" ws " + value);
    }
    if (properties.empty()) {
      if (!open || counts.most == 0) return "\"{\" ws \"}\"";
      return "\"{\" ws " + list_of(more, counts) + " ws \"}\"";
    }
    return "\"{\" ws " + members(properties, more) + " ws \"}\"";
  }

  std::vector<Property> properties_of(const Json& schema, std::vector<std::string>& names, const std::string& path, std::size_t depth) {
    const Json& required = schema["required"];
    if (!required.is_null() && !required.is_array()) fail(path + "/required", "a list of names", required.dump());
    const auto is_required = [&](const std::string& name) {
      return required.is_array() && std::ranges::any_of(required.items(), [&](const Json& other) { return other.is_string() && other.string() == name; });
    };
    std::vector<Property> properties;
    const auto add = [&](const std::string& name, const Json& value, const std::string& place) {
      names.push_back(name);
      if (value.is_bool() && !value.boolean() && !is_required(name)) return;  // a name that may not come
      const std::string text = expression(value, place, depth + 1);
      properties.push_back({add_rule(name, gbnf_literal(Json(name).dump()) + " ws \":\" ws " + text), is_required(name)});
    };
    if (schema["properties"].is_object()) {
      for (const auto& [name, value] : schema["properties"].members()) add(name, value, path + "/properties/" + name);
    }
    const Json& rest = schema["additionalProperties"];
    for (std::size_t i = 0; required.is_array() && i < required.items().size(); ++i) {
      const Json& name = required.items()[i];
      if (!name.is_string()) fail(path + "/required", "names", name.dump());
      if (std::ranges::find(names, name.string()) != names.end()) continue;
      if (rest.is_bool() && !rest.boolean()) throw Unsatisfiable{quoted(name.string()) + " is required and no property"};
      add(name.string(), rest.is_null() ? Json(true) : rest, path + "/required");
    }
    return properties;
  }

  /// Properties in their order: from each on there is a rule for what may follow a pair, and one for what may come first.
  std::string members(const std::vector<Property>& properties, const std::string& more) {
    std::string behind = more.empty() ? "" : add_rule("behind", "(ws \",\" ws " + more + ")*");
    std::string first = more.empty() ? "" : list_of(more, {});
    for (auto property = properties.rbegin(); property != properties.rend(); ++property) {
      const std::string here = property->pair + " " + behind;
      if (property->required) first = here;
      else first = first.empty() ? "(" + here + ")?" : "(" + here + " | " + first + ")";
      first = add_rule("first", first);
      const std::string pair = "ws \",\" ws " + property->pair;
      behind = add_rule("behind", (property->required ? pair : "(" + pair + ")?") + " " + behind);
    }
    return first;
  }

  /// A key that is none of the names. It has no escapes, which could spell a name in another way.
  std::string key_other_than(const std::vector<std::string>& names) {
    if (names.empty()) return "string";
    std::set<std::u32string> words;
    for (const std::string& name : names) {
      std::u32string word;
      for (std::size_t at = 0; at < name.size();) word += next_character(name, at);
      words.insert(word);
    }
    return "\"\\\"\" " + key_behind(words, {}) + " \"\\\"\"";
  }
  /// What may follow `prefix`: the end where it is no name, a character that no name goes on with, or one that some does.
  std::string key_behind(const std::set<std::u32string>& words, const std::u32string& prefix) {
    std::set<char32_t> next;
    for (auto word = words.lower_bound(prefix); word != words.end() && word->starts_with(prefix); ++word) {
      if (word->size() > prefix.size()) next.insert((*word)[prefix.size()]);
    }
    std::string body = words.contains(prefix) ? "" : "\"\" | ";
    std::vector<CharacterSet::Range> taken{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}, {0x7f, 0x7f}};
    for (const char32_t character : next) {
      if (!CharacterSet(taken).contains(character)) body += gbnf_class(CharacterSet({{character, character}})) + " " + key_behind(words, prefix + character) + " | ";
    }
    for (const char32_t character : next) taken.emplace_back(character, character);
    return add_rule("key", body + gbnf_class(CharacterSet(taken).complement()) + " plain*");
  }

  const Json& schema_;
  const std::string& where_;
  std::vector<std::pair<std::string, std::string>> rules_;
  std::map<std::string, std::string> references_;
  std::vector<std::string> waiting_;  // places whose rule is named and not yet written
  std::size_t names_ = 0, flattened_ = 0;
};

}  // namespace

std::string grammar_of_json_schema(const Json& schema, const std::string& where) { return Converter(schema, where).convert(); }

}  // namespace vitrine
