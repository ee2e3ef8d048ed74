#include "core/decode/grammar/grammar.h"

namespace vitrine {

const NamedGrammar& named_grammar_json() {
  static const NamedGrammar grammar{"json", "a JSON object or array, with bounded white space", R"gbnf(
root   ::= object | array
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member (ws "," ws member)* ws)? "}"
member ::= string ws ":" ws value
array  ::= "[" ws (value (ws "," ws value)* ws)? "]"
string ::= "\"" character* "\""
# An escape is never half of a pair of surrogates.
character ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))
hex    ::= [0-9a-fA-F]
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?
# White space without an end would let a model write nothing else.
ws     ::= "" | " " | "\r"? "\n" [ \t]{0,20}
)gbnf"};
  return grammar;
}

}  // namespace vitrine
