#include "experiments/grammar_source.h"

#include <CLI/CLI.hpp>

#include "core/base/error.h"
#include "core/decode/grammar/json_schema.h"
#include "experiments/texts.h"

namespace vitrine {
namespace {

bool is_gbnf(const std::string& word) { return word.find("::=") != std::string::npos; }
bool looks_like_a_file(const std::string& word) { return word == "-" || word.find_first_of("./\\") != std::string::npos; }

std::string where_of(const GrammarSource& source) {
  if (source.json_output) return "--json-output";
  if (source.schema.empty()) return is_gbnf(source.grammar) ? "--grammar" : source.grammar;
  return "grammar of " + (source.schema.starts_with('{') ? "--json-schema" : source.schema);
}

}  // namespace

void declare_grammar(CLI::App& app, GrammarSource& source) {
  app.add_option("--grammar", source.grammar, "a file of GBNF, the grammar itself where it has a ::=, or a word of vitrine list grammars");
  app.add_option("--json-schema,--schema", source.schema, "a file with a JSON schema, or the schema itself where it begins with {");
  app.add_flag("--json-object,--json-output", source.json_output, "any JSON object or array");
}

std::string grammar_text(const GrammarSource& source) {
  const int given = int{!source.grammar.empty()} + int{!source.schema.empty()} + int{source.json_output};
  if (given != 1) throw Error({"--grammar, --json-schema or --json-output", "one of them", std::to_string(given), ""}, Fault::usage);
  if (source.json_output) return std::string(named_grammar("json").text);
  if (!source.schema.empty()) {
    const bool inline_schema = source.schema.starts_with('{');
    const std::string where = inline_schema ? "--json-schema" : source.schema;
    return grammar_of_json_schema(parse_json(inline_schema ? source.schema : read_file("--json-schema", source.schema), where), where);
  }
  if (is_gbnf(source.grammar)) return source.grammar;
  return looks_like_a_file(source.grammar) ? read_file("--grammar", source.grammar) : std::string(named_grammar(source.grammar).text);
}

Grammar parse_grammar(const GrammarSource& source, const std::string& text) { return Grammar::parse(text, where_of(source)); }
Grammar read_grammar(const GrammarSource& source) { return parse_grammar(source, grammar_text(source)); }

}  // namespace vitrine
