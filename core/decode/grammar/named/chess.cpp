#include "core/decode/grammar/grammar.h"

namespace vitrine {

const NamedGrammar& named_grammar_chess() {
  static const NamedGrammar grammar{"chess", "a game of chess in PGN's algebraic notation, one numbered pair of moves a line", R"gbnf(
root   ::= "1. " pair (number ". " pair)*
number ::= [1-9] [0-9]{0,2}
pair   ::= move " " move "\n"
move   ::= (piece | pawn | castling) [+#]?
piece  ::= [KQRBN] [a-h]? [1-8]? "x"? square
pawn   ::= ([a-h] "x")? square ("=" [QRBN])?
castling ::= "O-O" | "O-O-O"
square ::= [a-h] [1-8]
)gbnf"};
  return grammar;
}

}  // namespace vitrine
