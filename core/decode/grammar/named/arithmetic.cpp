#include "core/decode/grammar/grammar.h"

namespace vitrine {

const NamedGrammar& named_grammar_arithmetic() {
  static const NamedGrammar grammar{"arithmetic", "an expression of numbers, names, calls, + - * / and parentheses", R"gbnf(
root   ::= sum
sum    ::= product (gap [-+] gap product)*
product ::= factor (gap [*/] gap factor)*
factor ::= number | name call? | "(" sum ")"
call   ::= "(" (sum ("," gap sum)*)? ")"
name   ::= [a-zA-Z_] [a-zA-Z0-9_]*
number ::= [0-9]+ ("." [0-9]+)?
gap    ::= " "?
)gbnf"};
  return grammar;
}

}  // namespace vitrine
