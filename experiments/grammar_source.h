#pragma once

#include <string>

#include "core/decode/grammar/grammar.h"

namespace CLI {
class App;
}

namespace vitrine {

/// Where a grammar comes from: a word, a file of GBNF or the text itself, or a JSON schema (a file, or itself).
struct GrammarSource {
  std::string grammar, schema;
  bool json_output = false;
  bool given() const { return json_output || !grammar.empty() || !schema.empty(); }
};
/// --grammar, --json-schema and --json-output.
void declare_grammar(CLI::App& app, GrammarSource& source);
/// GBNF. @throws Error (usage) where not exactly one is given
std::string grammar_text(const GrammarSource& source);
/// What grammar_text() gave, with the source's name in errors.
Grammar parse_grammar(const GrammarSource& source, const std::string& text);
Grammar read_grammar(const GrammarSource& source);

}  // namespace vitrine
