#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/shortcuts/shortcut.h"

namespace vitrine {
namespace {

const Shortcut& shortcut_named(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Shortcut* shortcut : all_shortcuts()) {
    if (shortcut->name == name) return *shortcut;
    names.push_back(shortcut->name);
  }
  throw Error({"shortcut", joined(names), quoted(name), "the nearest is " + std::string(nearest_word(name, names)) + "; see `vitrine list shortcuts`"}, Fault::usage);
}

const ShortcutOption* find_option(const Shortcut& shortcut, std::string_view key) {
  const auto found = std::ranges::find(shortcut.options, key, &ShortcutOption::key);
  return found == shortcut.options.end() ? nullptr : &*found;
}

void require_known(const Shortcut& shortcut, std::string_view key) {
  if (find_option(shortcut, key)) return;
  std::vector<std::string_view> keys;
  for (const ShortcutOption& option : shortcut.options) keys.push_back(option.key);
  throw Error({"shortcut " + std::string(shortcut.name), keys.empty() ? "no keys" : "the keys " + joined(keys), quoted(key), ""}, Fault::usage);
}

}  // namespace

ShortcutCall::ShortcutCall(std::string_view word) : shortcut_(&shortcut_named(word.substr(0, word.find(':')))) {
  std::string_view rest = word.substr(std::min(word.size(), shortcut_->name.size()));
  while (!rest.empty()) {
    rest.remove_prefix(1);  // ':' or ','; something must follow
    const std::string_view pair = rest.substr(0, rest.find(','));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) throw Error({"shortcut " + std::string(shortcut_->name), "key=value with ',' between them", quoted(pair), ""}, Fault::usage);
    require_known(*shortcut_, pair.substr(0, equals));
    if (!values_.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second) {
      throw Error({"shortcut " + std::string(shortcut_->name) + ", " + std::string(pair.substr(0, equals)), "once", "twice", ""}, Fault::usage);
    }
    rest.remove_prefix(pair.size());
  }
}

ShortcutCall::ShortcutCall(const Shortcut& shortcut, std::map<std::string, std::string, std::less<>> values) : shortcut_(&shortcut), values_(std::move(values)) {
  for (const auto& [key, value] : values_) require_known(shortcut, key);
}

std::string ShortcutCall::spelled() const {
  std::string word(shortcut_->name);
  char border = ':';
  for (const ShortcutOption& option : shortcut_->options) {
    const auto said = values_.find(option.key);
    const std::string_view value = said != values_.end() ? std::string_view(said->second) : option.fallback;
    if (value.empty()) continue;
    word += border + std::string(option.key) + "=" + std::string(value);
    border = ',';
  }
  return word;
}

void ShortcutCall::refuse(std::string_view key, const std::string& expected) const {
  const auto said = values_.find(key);
  throw Error({"shortcut " + std::string(shortcut_->name) + ", " + std::string(key), expected, said == values_.end() ? "nothing" : quoted(said->second),
               "such as " + std::string(shortcut_->example)}, Fault::usage);
}

std::string ShortcutCall::text(std::string_view key) const {
  const ShortcutOption* option = find_option(*shortcut_, key);
  VITRINE_CHECK(option != nullptr);
  const auto said = values_.find(key);
  if (said != values_.end() && !said->second.empty()) return said->second;
  if (said != values_.end() || (option->fallback.empty() && !option->optional)) refuse(key, std::string(option->summary));
  return std::string(option->fallback);
}

double ShortcutCall::number(std::string_view key, double low, double high) const {
  const std::string said = text(key);
  double value = 0.0;
  const auto [end, error] = std::from_chars(said.data(), said.data() + said.size(), value);
  if (error != std::errc() || end != said.data() + said.size() || !(value >= low && value <= high)) {
    char bounds[80];
    std::snprintf(bounds, sizeof bounds, "a number from %g to %g", low, high);
    refuse(key, bounds);
  }
  return value;
}

std::size_t ShortcutCall::whole(std::string_view key, std::size_t low, std::size_t high) const {
  const double value = number(key, static_cast<double>(low), static_cast<double>(high));
  if (value != std::floor(value)) refuse(key, "a whole number");
  return static_cast<std::size_t>(value);
}

bool ShortcutCall::flag(std::string_view key) const {
  constexpr std::string_view words[] = {"no", "yes"};
  return choice(key, words) == 1;
}

std::size_t ShortcutCall::choice(std::string_view key, std::span<const std::string_view> words) const {
  const auto found = std::ranges::find(words, text(key));
  if (found == words.end()) refuse(key, joined(words));
  return static_cast<std::size_t>(found - words.begin());
}

std::vector<ShortcutCall> parse_shortcuts(std::string_view spelled) {
  std::vector<ShortcutCall> calls;
  while (true) {
    const std::size_t end = spelled.find('+');
    calls.emplace_back(spelled.substr(0, end));
    if (end == std::string_view::npos) return calls;
    spelled.remove_prefix(end + 1);
  }
}

std::string spelled(std::span<const ShortcutCall> calls) {
  std::string words;
  for (const ShortcutCall& call : calls) words += (words.empty() ? "" : "+") + call.spelled();
  return words;
}

}  // namespace vitrine
