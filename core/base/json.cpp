#include "core/base/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t max_depth = 128;

/// Builds the value from nlohmann's events; stops at what it finds wrong.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(Json(value)); }
  bool number_integer(std::int64_t value) override { return put(Json(value)); }
  bool number_unsigned(std::uint64_t value) override {
    return put(value <= static_cast<std::uint64_t>(INT64_MAX) ? Json(value) : Json(static_cast<double>(value)));
  }
  bool number_float(double value, const std::string&) override { return put(Json(value)); }
  bool string(std::string& value) override { return put(Json(std::move(value))); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (!levels_.back().names.insert(name).second) return fail("the key " + quoted(name) + " twice");
    levels_.back().key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    return fail("something else at byte " + std::to_string(position));
  }

  std::string found;
  Json result;

 private:
  struct Level {
    bool object;
    Json::Object members;
    Json::Array items;
    std::string key;
    std::set<std::string> names;
  };

  bool fail(std::string what) {
    if (found.empty()) found = std::move(what);
    return false;
  }
  bool put(Json value) {
    if (levels_.empty()) {
      result = std::move(value);
    } else if (levels_.back().object) {
      levels_.back().members.emplace_back(std::move(levels_.back().key), std::move(value));
    } else {
      levels_.back().items.push_back(std::move(value));
    }
    return true;
  }
  bool open(bool object) {
    if (levels_.size() >= max_depth) return fail("more than 128 levels");
    levels_.push_back({object, {}, {}, {}, {}});
    return true;
  }
  bool close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    return put(level.object ? Json(std::move(level.members)) : Json(std::move(level.items)));
  }

  std::vector<Level> levels_;
};

nlohmann::ordered_json to_library(const Json& json) {
  if (json.is_bool()) return json.boolean();
  if (json.is_integer()) return json.integer();
  if (json.is_number()) return json.number();
  if (json.is_string()) return json.string();
  if (json.is_array()) {
    auto array = nlohmann::ordered_json::array();
    for (const Json& item : json.items()) array.push_back(to_library(item));
    return array;
  }
  if (json.is_object()) {
    auto object = nlohmann::ordered_json::object();
    for (const auto& [key, value] : json.members()) object[key] = to_library(value);
    return object;
  }
  return nullptr;
}

}  // namespace

Json::Json(double value) {
  if (std::isfinite(value)) value_ = value;
}

bool Json::boolean() const {
  VITRINE_CHECK(is_bool());
  return std::get<bool>(value_);
}

std::int64_t Json::integer() const {
  VITRINE_CHECK(is_integer());
  return std::get<std::int64_t>(value_);
}

double Json::number() const {
  VITRINE_CHECK(is_number());
  return is_integer() ? static_cast<double>(integer()) : std::get<double>(value_);
}

const std::string& Json::string() const {
  VITRINE_CHECK(is_string());
  return std::get<std::string>(value_);
}

const Json::Array& Json::items() const {
  VITRINE_CHECK(is_array());
  return std::get<Array>(value_);
}

const Json::Object& Json::members() const {
  VITRINE_CHECK(is_object());
  return std::get<Object>(value_);
}

const Json& Json::operator[](std::string_view key) const {
  static const Json none;
  if (!is_object()) return none;
  const Object& object = std::get<Object>(value_);
  const auto found = std::find_if(object.begin(), object.end(), [&](const auto& member) { return member.first == key; });
  return found == object.end() ? none : found->second;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  VITRINE_CHECK(is_object());
  Object& object = std::get<Object>(value_);
  const auto found = std::find_if(object.begin(), object.end(), [&](const auto& member) { return member.first == key; });
  if (found == object.end()) {
    object.emplace_back(std::string(key), std::move(value));
  } else {
    found->second = std::move(value);
  }
  return *this;
}

Json& Json::push(Json value) {
  if (is_null()) value_ = Array{};
  VITRINE_CHECK(is_array());
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

std::string Json::dump(int indent) const {
  return to_library(*this).dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Json parse_json(std::string_view text, std::string_view where) {
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    throw Error({std::string(where), "one JSON document", builder.found, ""});
  }
  return std::move(builder.result);
}

}  // namespace vitrine
