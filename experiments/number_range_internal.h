#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <string>

namespace vitrine {

/// Accepts whole numbers from `least` to `most`; CLI11 itself would turn -1 into the largest number there is.
inline CLI::Validator whole_number(std::uint64_t least, std::uint64_t most = 1'000'000'000) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool good = error == std::errc() && end == text.data() + text.size() && number >= least && number <= most;
        return good ? std::string() : "expected a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " + text;
      },
      "");
}

/// Accepts texts of at least one character: an empty one, as of a variable that was not set, must not mean that nothing was asked for.
inline CLI::Validator some_text() {
  return CLI::Validator([](const std::string& text) { return text.empty() ? std::string("expected a text, found an empty one") : std::string(); }, "");
}

/// Accepts finite numbers above 0; CLI11's own takes NaN for one.
inline CLI::Validator positive_number() {
  return CLI::Validator(
      [](const std::string& text) {
        double number = 0.0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool good = error == std::errc() && end == text.data() + text.size() && number > 0.0 && number < 1e300;
        return good ? std::string() : "expected a number above 0, found " + text;
      },
      "");
}

}  // namespace vitrine
