#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"

namespace vitrine {

/// A grammar, as GBNF text, of JSON that a JSON schema (drafts 4 to 2020-12) holds for. What it accepts always validates; what a
/// schema leaves open is narrowed as docs/grammar.md says (order of properties, no more of them unless asked for, white space).
/// @param where  names the schema in errors, which add the place inside it
/// @throws Error  on what a grammar cannot say, and what nothing satisfies: nothing but annotations is passed over
std::string grammar_of_json_schema(const Json& schema, const std::string& where = "schema");

/// A regular expression (what ECMA-262 and Python agree on) as a GBNF expression of what stands between a JSON string's quotes.
struct PatternGrammar {
  std::string text;
  std::size_t least = 0, most = 0;  ///< characters; most may be SIZE_MAX
};
/// @throws Error on look-around, references back, anchors in the middle and the like
PatternGrammar grammar_of_pattern(std::string_view pattern, const std::string& where);

}  // namespace vitrine
