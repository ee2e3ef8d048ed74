#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

enum class OptionKind { number, whole, flag, text };

/// A setting of a sampler or a search as data: the command line declares `--<name>` for each of every table, and checks it.
struct DecodeOption {
  std::string_view name;     ///< of the command line, without dashes: "top-k". Several members may share one
  std::string_view summary;  ///< for people, with what the fallback means
  OptionKind kind = OptionKind::number;
  double fallback = 0.0;     ///< of numbers; texts and flags are empty and off
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();  ///< both allowed
  bool low_excluded = false;
  bool repeated = false;     ///< a text that may be said several times
};

/// What was set. A number that was not set has its option's fallback.
class DecodeValues {
 public:
  /// @throws Error (usage) naming the option where the number is outside of its range, or no whole number where it must be
  void set(const DecodeOption& option, double value);
  void set(const DecodeOption& option, std::vector<std::string> texts);
  /// A number as it is written, or a text. @throws Error (usage)
  void set_word(const DecodeOption& option, const std::string& word);
  /// What others say where these say nothing.
  void add_missing(const DecodeValues& others);
  bool has(std::string_view name) const { return numbers_.contains(name) || texts_.contains(name); }
  double number(const DecodeOption& option) const;
  bool flag(const DecodeOption& option) const { return number(option) != 0.0; }
  std::size_t whole(const DecodeOption& option) const { return static_cast<std::size_t>(number(option)); }
  std::span<const std::string> texts(const DecodeOption& option) const;
  /// Names of what was set, in order.
  std::vector<std::string> names() const;
  /// What was set, for a signature: {"top-k": 40, "stop": ["\n"]}.
  Json to_json() const;

 private:
  std::map<std::string, double, std::less<>> numbers_;
  std::map<std::string, std::vector<std::string>, std::less<>> texts_;
};

/// Token ids that a text names: "1,2,3". @throws Error (usage) naming the option where one is none of the vocabulary
std::vector<TokenId> token_ids_of(const DecodeOption& option, std::string_view text, std::size_t vocabulary);

}  // namespace vitrine
