#include "core/shortcuts/heads.h"
#include "core/shortcuts/random_choice.h"

namespace vitrine {
namespace {

void check(const Model& model, const ShortcutCall& call, std::size_t) { heads_wanted(call, model); }

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const std::vector<HeadPlace> heads = drawn(attention_heads(model.spec), heads_wanted(call, model), bench.seed);
  silence(model, heads, "silent at random", report);
  report.notes.push_back("silent: " + labels(heads));
}

}  // namespace

const Shortcut& shortcut_random_heads() {
  static const Shortcut shortcut{"random_heads", "silences heads chosen by the seed: the control of drop_heads", "", "random_heads:share=0.25",
                                 {{"share", "of all heads", "", true}, {"count", "so many heads", "", true}}, nullptr, check, apply};
  return shortcut;
}

}  // namespace vitrine
