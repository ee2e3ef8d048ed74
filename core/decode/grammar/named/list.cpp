#include "core/decode/grammar/grammar.h"

namespace vitrine {

const NamedGrammar& named_grammar_list() {
  static const NamedGrammar grammar{"list", "lines that begin with a dash", R"gbnf(
root ::= ("- " text "\n")+
# No character that Unicode breaks lines at.
text ::= [^\n\v\f\r\u0085\u2028\u2029]+
)gbnf"};
  return grammar;
}

}  // namespace vitrine
