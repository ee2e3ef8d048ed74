#include "core/shortcuts/gptq_rounding.h"

namespace vitrine {
namespace {

void check(const Model& model, const ShortcutCall& call, std::size_t) { require_divided_matrices(model, grid_rule(call)); }

/// Kept in f32 or f16, so that only the rounding is different.
void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  round_matrices(model, grid_rule(call), bench, report);
}

}  // namespace

const Shortcut& shortcut_rtn() {
  static const Shortcut shortcut{"rtn", "every number to the nearest of a grid, in memory", "the baseline of Frantar et al. 2022, arXiv:2210.17323", "rtn:bits=4,group=128",
                                 grid_options("", "0"), nullptr, check, apply};
  return shortcut;
}

}  // namespace vitrine
