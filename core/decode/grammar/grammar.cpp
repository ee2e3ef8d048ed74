#include "core/decode/grammar/grammar.h"

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/decode/grammar/automaton.h"

namespace vitrine {

Grammar Grammar::parse(std::string_view text, const std::string& where, const std::string& root) {
  return Grammar(std::make_shared<const GrammarNetwork>(compile_grammar(parse_gbnf(text, where, root), where)));
}

GrammarVerdict check_text(const Grammar& grammar, std::string_view text) {
  GrammarAutomaton automaton(grammar.network());
  GrammarAutomaton::State state = automaton.start();
  for (std::size_t at = 0; at < text.size(); ++at) {
    state = automaton.step(state, static_cast<std::uint8_t>(text[at]));
    if (state == GrammarAutomaton::dead) return {false, at, false};
  }
  return {automaton.may_end(state), text.size(), !automaton.may_end(state)};
}

const NamedGrammar& named_grammar(std::string_view name) {
  std::vector<std::string_view> known;
  for (const NamedGrammar* grammar : all_named_grammars()) {
    if (grammar->name == name) return *grammar;
    known.push_back(grammar->name);
  }
  throw Error({"--grammar", joined(known), quoted(name), ""}, Fault::usage);
}

}  // namespace vitrine
