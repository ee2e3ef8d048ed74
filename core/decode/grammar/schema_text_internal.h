#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/decode/grammar/character_set.h"

namespace vitrine {

/// A text as a literal of GBNF.
std::string gbnf_literal(std::string_view text);
/// A set as a class of GBNF.
std::string gbnf_class(const CharacterSet& set);

/// Bounds on a number; a bound that is not there is empty.
struct NumberBounds {
  std::optional<double> least, most;
  bool above = false, below = false;  ///< the bound itself is left out
};
/// Whole numbers of at most 16 digits within bounds, as a GBNF expression. @throws Error where there are none
std::string gbnf_integers(const NumberBounds& bounds, const std::string& where);
/// Decimal numbers within bounds; with one bound at least they are written without an exponent.
std::string gbnf_numbers(const NumberBounds& bounds, const std::string& where);

/// The rules that all schemas share: ws, string, character, integer, number, boolean, null, object, array, value.
std::string_view gbnf_json_rules();
/// What stands between the quotes of a string in a format, or null where it is unknown. Uses the rules of gbnf_format_rules().
const char* gbnf_format(std::string_view format);
std::string_view gbnf_format_rules();

/// Thrown where parts of a schema contradict each other.
struct Unsatisfiable {
  std::string reason;
};
/// Both schemas at once. @param where  names the place in errors. @throws Error where the two cannot be joined
Json merged_schemas(const Json& a, const Json& b, const std::string& where);
/// {"const": x} as {"enum": [x]}.
Json with_enum_for_const(Json schema);
/// Whether no value can satisfy both; false where that cannot be seen.
bool surely_disjoint(const Json& a, const Json& b);

}  // namespace vitrine
