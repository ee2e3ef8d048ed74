#include "core/decode/grammar/grammar.h"

namespace vitrine {

const NamedGrammar& named_grammar_json_array() {
  static const NamedGrammar grammar{"json_array", "a JSON array with one item a line", R"gbnf(
root   ::= "[\n" (item (",\n" item)* "\n")? "]"
item   ::= [ \t]{0,8} value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" space (string ":" space value ("," space string ":" space value)* space)? "}"
array  ::= "[" space (value ("," space value)* space)? "]"
string ::= "\"" ([^"\\\x00-\x1F\x7F] | "\\" escape)* "\""
escape ::= ["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2})
hex    ::= [0-9a-fA-F]
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?
space  ::= " "?
)gbnf"};
  return grammar;
}

}  // namespace vitrine
