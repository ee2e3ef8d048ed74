// Numbers between bounds, as digits.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>

#include "core/base/error.h"
#include "core/decode/grammar/schema_text_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_digits = 16;
constexpr std::int64_t largest = 9'999'999'999'999'999;

std::string digit_class(char first, char last) {
  if (first == last) return "\"" + std::string(1, first) + "\"";
  return "[" + std::string(1, first) + "-" + std::string(1, last) + "]";
}
std::string any_digits(std::size_t least, std::size_t most) {
  if (most == 0) return "";
  return " [0-9]{" + std::to_string(least) + "," + std::to_string(most) + "}";
}
void add_choice(std::string& choices, const std::string& choice) {
  if (!choices.empty()) choices += " | ";
  choices += choice;
}

/// All numbers from `low` to `high`, of as many digits.
std::string of_equal_length(const std::string& low, const std::string& high) {
  const std::size_t rest = low.size() - 1;
  if (low[0] == high[0]) return digit_class(low[0], low[0]) + (rest == 0 ? "" : " (" + of_equal_length(low.substr(1), high.substr(1)) + ")");
  const bool low_free = low.find_first_not_of('0', 1) == std::string::npos, high_free = high.find_first_not_of('9', 1) == std::string::npos;
  const char first = static_cast<char>(low[0] + (low_free ? 0 : 1)), last = static_cast<char>(high[0] - (high_free ? 0 : 1));
  std::string choices;
  if (!low_free) add_choice(choices, digit_class(low[0], low[0]) + " (" + of_equal_length(low.substr(1), std::string(rest, '9')) + ")");
  if (first <= last) add_choice(choices, digit_class(first, last) + any_digits(rest, rest));
  if (!high_free) add_choice(choices, digit_class(high[0], high[0]) + " (" + of_equal_length(std::string(rest, '0'), high.substr(1)) + ")");
  return choices;
}

/// Numbers from `low` to `high`, neither negative.
std::string from_to(std::int64_t low, std::int64_t high) {
  std::string choices;
  const std::string lowest = std::to_string(low), highest = std::to_string(high);
  for (std::size_t digits = lowest.size(); digits <= highest.size(); ++digits) {
    const std::string begin = digits == lowest.size() ? lowest : "1" + std::string(digits - 1, '0');
    const bool all_longer = highest == std::string(highest.size(), '9') && begin == "1" + std::string(digits - 1, '0');
    if (all_longer) {
      add_choice(choices, "[1-9]" + any_digits(digits - 1, highest.size() - 1));
      break;
    }
    add_choice(choices, of_equal_length(begin, digits == highest.size() ? highest : std::string(digits, '9')));
  }
  return choices;
}

/// The digits of a bound: before the point and behind it, without zeros at the end.
struct Decimal {
  std::int64_t whole = 0;
  std::string fraction;
};
Decimal decimal_of(double number, const std::string& where) {
  char buffer[400];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed);
  const std::string digits(buffer, end);
  const std::size_t point = std::min(digits.find('.'), digits.size());
  if (point > 15 || digits.size() - 1 > 16) throw Error({where, "a bound of at most 15 digits", digits, ""});
  Decimal decimal;
  decimal.whole = std::stoll(digits.substr(0, point));
  if (point < digits.size()) decimal.fraction = digits.substr(point + 1);
  while (decimal.fraction.ends_with('0')) decimal.fraction.pop_back();
  return decimal;
}

/// One side of what may stand behind the point: digits still to compare with, or no longer bound.
struct Side {
  bool bound = false, itself = true;  ///< itself: the bound is allowed too
  std::string digits;
  bool spent() const { return digits.empty(); }
  char next(char without) const { return !bound ? without : spent() ? '0' : digits[0]; }
  Side behind() const { return {bound, itself, spent() ? "" : digits.substr(1)}; }
};

/// Digits behind the point, at most `room`, between two sides; `empty` says whether there may be none.
struct Digits {
  std::string some;  ///< GBNF of one digit or more; empty where there are none
  bool none = false;
};
Digits digits_between(const Side& low, const Side& high, std::size_t room) {
  Digits result;
  const bool reaches_low = !low.bound || (low.spent() && low.itself);
  const bool below_high = !high.bound || !high.spent() || high.itself;
  result.none = reaches_low && below_high;
  if (room == 0) return result;
  if (low.bound && low.spent() && low.itself) return digits_between({}, high, room).some.empty() ? result : Digits{digits_between({}, high, room).some, result.none};
  if (!low.bound && !high.bound) return {"[0-9]" + any_digits(0, room - 1), true};
  const char first = low.next('0'), last = high.next('9');
  const auto add = [&](char from, char to, const Side& low_behind, const Side& high_behind) {
    const Digits rest = digits_between(low_behind, high_behind, room - 1);
    if (from > to || (rest.some.empty() && !rest.none)) return;
    std::string choice = digit_class(from, to);
    if (!rest.some.empty()) choice += " (" + rest.some + ")" + (rest.none ? "?" : "");
    add_choice(result.some, choice);
  };
  if (first > last) return result;
  if (first == last) {
    add(first, first, low.behind(), high.behind());
    return result;
  }
  if (low.bound) add(first, first, low.behind(), {});
  const char inner_first = static_cast<char>(first + (low.bound ? 1 : 0)), inner_last = static_cast<char>(last - (high.bound ? 1 : 0));
  if (inner_first <= inner_last) add(inner_first, inner_last, {}, {});
  if (high.bound) add(last, last, {}, high.behind());
  return result;
}

/// Whole part fixed: "7", "7.25" between the sides.
void add_at(std::string& choices, std::int64_t whole, const Side& low, const Side& high) {
  const std::string digits = std::to_string(whole);
  const Digits fraction = digits_between(low, high, digits.size() >= 15 ? 0 : 15 - digits.size());
  if (fraction.none) add_choice(choices, "\"" + digits + "\"" + (fraction.some.empty() ? "" : " (\".\" (" + fraction.some + "))?"));
  else if (!fraction.some.empty()) add_choice(choices, "\"" + digits + ".\" (" + fraction.some + ")");
}

/// Numbers that are not negative, without a sign. An empty `high` is no bound.
std::string decimals(const std::optional<Decimal>& low, bool above, const std::optional<Decimal>& high, bool below) {
  std::string choices;
  const Side low_side{low.has_value(), !above, low ? low->fraction : ""}, high_side{high.has_value(), !below, high ? high->fraction : ""};
  const std::int64_t first = low ? low->whole : 0, last = high ? high->whole : largest;
  if (high && first > last) return choices;
  if (low && high && first == last) {
    add_at(choices, first, low_side, high_side);
    return choices;
  }
  if (low) add_at(choices, first, low_side, {});
  const std::int64_t inner_first = first + (low ? 1 : 0), inner_last = last - (high ? 1 : 0);
  if (inner_first <= inner_last) add_choice(choices, "(" + from_to(inner_first, inner_last) + ") (\".\" [0-9]{1,15})?");
  if (high) add_at(choices, last, {}, high_side);
  return choices;
}

[[noreturn]] void nothing_between(const std::string& where) { throw Error({where, "bounds with a number between them that 16 digits can write", "none", ""}); }

}  // namespace

std::string gbnf_integers(const NumberBounds& bounds, const std::string& where) {
  if (!bounds.least && !bounds.most) return "integer";
  constexpr double end = static_cast<double>(largest);
  double low = bounds.least ? std::ceil(*bounds.least) : -end, high = bounds.most ? std::floor(*bounds.most) : end;
  if (bounds.above && bounds.least && low == *bounds.least) low += 1;
  if (bounds.below && bounds.most && high == *bounds.most) high -= 1;
  // A bound that sixteen digits cannot reach is no bound.
  const auto first = low <= -end ? -largest : static_cast<std::int64_t>(std::min(low, 2 * end));
  const auto last = high >= end ? largest : static_cast<std::int64_t>(std::max(high, -2 * end));
  if (first > last || first > largest || last < -largest) nothing_between(where);
  std::string choices;
  if (first < 0) add_choice(choices, "\"-\" (" + from_to(last < 0 ? -last : 1, -first) + ")");
  if (last >= 0) add_choice(choices, from_to(std::max<std::int64_t>(first, 0), last));
  return "(" + choices + ")";
}

std::string gbnf_numbers(const NumberBounds& bounds, const std::string& where) {
  if (!bounds.least && !bounds.most) return "number";
  std::optional<Decimal> low, high;
  const auto size_of = [&](double bound) { return decimal_of(std::abs(bound), where); };
  std::string choices;
  if (!bounds.least || *bounds.least < 0) {  // negative: mirrored, the bound nearer to zero first
    const bool up_to_zero = !bounds.most || *bounds.most >= 0;
    low = up_to_zero ? Decimal{} : size_of(*bounds.most);
    if (bounds.least) high = size_of(*bounds.least);
    const std::string negative = decimals(low, up_to_zero || bounds.below, high, bounds.above);
    if (!negative.empty()) add_choice(choices, "\"-\" (" + negative + ")");
  }
  if (!bounds.most || *bounds.most >= 0) {
    const bool from_zero = !bounds.least || *bounds.least < 0;
    low = from_zero ? std::optional<Decimal>() : size_of(*bounds.least);
    high = bounds.most ? size_of(*bounds.most) : std::optional<Decimal>();
    const std::string positive = decimals(low, bounds.above, high, bounds.below);
    if (!positive.empty()) add_choice(choices, positive);
  }
  if (choices.empty()) nothing_between(where);
  return "(" + choices + ")";
}

}  // namespace vitrine
