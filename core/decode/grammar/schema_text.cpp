// Literals, classes, shared rules and formats of the grammars that schemas become.
#include <cstdio>
#include <utility>

#include "core/decode/grammar/schema_text_internal.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

void append_escaped(std::string& out, char32_t c, std::string_view special) {
  char escape[16];
  if (c < 0x20 || c == 0x7f) {
    std::snprintf(escape, sizeof escape, "\\x%02X", static_cast<unsigned>(c));
    out += escape;
  } else if (c < 0x80) {
    if (special.find(static_cast<char>(c)) != std::string_view::npos) out += '\\';
    out += static_cast<char>(c);
  } else {
    std::snprintf(escape, sizeof escape, c > 0xffff ? "\\U%08X" : "\\u%04X", static_cast<unsigned>(c));
    out += escape;
  }
}

}  // namespace

std::string gbnf_literal(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) append_escaped(out, next_character(text, at), "\"\\");
  return out + "\"";
}

std::string gbnf_class(const CharacterSet& set) {
  std::string out = "[";
  for (const auto& [first, last] : set.ranges()) {
    append_escaped(out, first, "[]^-\\\"");
    if (last == first) continue;
    if (last > first + 1) out += '-';
    append_escaped(out, last, "[]^-\\\"");
  }
  return out + "]";
}

std::string_view gbnf_json_rules() {
  return R"(ws ::= "" | " " | "\n" [ \t]{0,20}
hex ::= [0-9a-fA-F]
character ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))
plain ::= [^"\\\x00-\x1F\x7F]
string ::= "\"" character* "\""
integer ::= "0" | "-"? [1-9] [0-9]{0,15}
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?
boolean ::= "true" | "false"
null ::= "null"
object ::= "{" ws (string ws ":" ws value (ws "," ws string ws ":" ws value)* ws)? "}"
array ::= "[" ws (value (ws "," ws value)* ws)? "]"
value ::= object | array | string | number | boolean | null
)";
}

std::string_view gbnf_format_rules() {
  // Years from 1000 on; 29 February in leap years alone.
  return R"(leap-year ::= ([1-9] [0-9] ("0" [48] | [2468] [048] | [13579] [26])) | (([2468] [048] | [13579] [26]) "00")
date ::= [1-9] [0-9]{3} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])) | leap-year "-02-29"
time ::= ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])
uuid ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
octet ::= "25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9]
ipv4 ::= octet ("." octet){3}
date-time ::= date "T" time
)";
}

const char* gbnf_format(std::string_view format) {
  static constexpr std::pair<std::string_view, const char*> formats[] = {
      {"date", "date"}, {"time", "time"}, {"date-time", "date-time"}, {"uuid", "uuid"}, {"ipv4", "ipv4"}};
  for (const auto& [name, rule] : formats) {
    if (name == format) return rule;
  }
  return nullptr;
}

}  // namespace vitrine
