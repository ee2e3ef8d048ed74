#include "core/decode/option.h"

#include <charconv>
#include <cmath>

#include "core/base/error.h"

namespace vitrine {
namespace {

std::string flag_of(const DecodeOption& option) { return "--" + std::string(option.name); }

std::string spelled(double number) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  return error == std::errc() ? std::string(buffer, end) : std::to_string(number);
}

/// "a whole number from 1 to 64", "more than 0, at most 1", "0 or more".
std::string range_of(const DecodeOption& option) {
  const std::string kind = option.kind == OptionKind::whole ? "a whole number, " : "";
  const bool has_low = std::isfinite(option.low), has_high = std::isfinite(option.high);
  const std::string low = option.low_excluded ? "more than " + spelled(option.low) : spelled(option.low);
  if (has_low && has_high) return kind + low + (option.low_excluded ? ", at most " : " to ") + spelled(option.high);
  if (has_low) return kind + low + (option.low_excluded ? "" : " or more");
  return has_high ? kind + "at most " + spelled(option.high) : kind + "a number";
}

}  // namespace

void DecodeValues::set(const DecodeOption& option, double value) {
  const bool inside = std::isfinite(value) && value >= option.low && value <= option.high && !(option.low_excluded && value == option.low);
  if (!inside || (option.kind == OptionKind::whole && value != std::floor(value))) {
    throw Error({flag_of(option), range_of(option), spelled(value), ""}, Fault::usage);
  }
  numbers_.insert_or_assign(std::string(option.name), value);
}

void DecodeValues::set(const DecodeOption& option, std::vector<std::string> texts) {
  VITRINE_CHECK(option.kind == OptionKind::text);
  texts_.insert_or_assign(std::string(option.name), std::move(texts));
}

void DecodeValues::set_word(const DecodeOption& option, const std::string& word) {
  if (option.kind == OptionKind::text) return set(option, std::vector<std::string>{word});
  double value = 0.0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) throw Error({flag_of(option), range_of(option), quoted(word), ""}, Fault::usage);
  set(option, value);
}

void DecodeValues::add_missing(const DecodeValues& others) {
  numbers_.insert(others.numbers_.begin(), others.numbers_.end());
  texts_.insert(others.texts_.begin(), others.texts_.end());
}

double DecodeValues::number(const DecodeOption& option) const {
  const auto found = numbers_.find(option.name);
  return found == numbers_.end() ? option.fallback : found->second;
}

std::span<const std::string> DecodeValues::texts(const DecodeOption& option) const {
  const auto found = texts_.find(option.name);
  return found == texts_.end() ? std::span<const std::string>() : std::span<const std::string>(found->second);
}

std::vector<std::string> DecodeValues::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : numbers_) names.push_back(name);
  for (const auto& [name, texts] : texts_) names.push_back(name);
  return names;
}

Json DecodeValues::to_json() const {
  Json json = Json::object();
  for (const auto& [name, value] : numbers_) json.set(name, value);
  for (const auto& [name, texts] : texts_) {
    Json list = Json::array();
    for (const std::string& text : texts) list.push(text);
    json.set(name, list);
  }
  return json;
}

std::vector<TokenId> token_ids_of(const DecodeOption& option, std::string_view text, std::size_t vocabulary) {
  std::vector<TokenId> ids;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), ids.emplace_back());
    const bool is_id = error == std::errc() && end == word.data() + word.size() && ids.back() >= 0 && static_cast<std::size_t>(ids.back()) < vocabulary;
    if (!is_id) {
      throw Error({flag_of(option), "token ids from 0 to " + std::to_string(vocabulary - 1) + " with commas between them", quoted(word, 40), ""}, Fault::usage);
    }
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
  }
  return ids;
}

}  // namespace vitrine
