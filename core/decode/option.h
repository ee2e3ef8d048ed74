#pragma once

#include <cstddef>
#include <map>
#include <optional>
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
  double low = 0.0, high = 0.0;      ///< both allowed
  bool low_excluded = false;
  bool repeated = false;     ///< a text that may be said several times
};

/// What was set. A number that was not set has its option's fallback.
class DecodeValues {
 public:
  /// @throws Error (usage) naming the option where the number is outside of its range, or no whole number where it must be
  void set(const DecodeOption& option, double value);
  void set(const DecodeOption& option, std::vector<std::string> texts);
  bool has(std::string_view name) const { return numbers_.contains(name) || texts_.contains(name); }
  double number(const DecodeOption& option) const;
  std::span<const std::string> texts(const DecodeOption& option) const;

 private:
  std::map<std::string, double, std::less<>> numbers_;
  std::map<std::string, std::vector<std::string>, std::less<>> texts_;
};

}  // namespace vitrine
