#include <algorithm>
#include <random>

#include "core/shortcuts/heads.h"

namespace vitrine {
namespace {

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  std::vector<HeadPlace> heads = attention_heads(model.spec);
  const std::size_t wanted = heads_wanted(call, model);
  std::mt19937_64 random(bench.seed);
  for (std::size_t i = 0; i < wanted; ++i) std::swap(heads[i], heads[i + random() % (heads.size() - i)]);
  heads.resize(wanted);
  silence(model, heads, "silent at random", report);
  report.notes.push_back("silent: " + labels(heads));
}

}  // namespace

const Shortcut& shortcut_random_heads() {
  static const Shortcut shortcut{"random_heads", "silences heads chosen by the seed: the control of drop_heads", "", "random_heads:share=0.25",
                                 {{"share", "of all heads", "", true}, {"count", "so many heads", "", true}}, nullptr, apply};
  return shortcut;
}

}  // namespace vitrine
