#include "core/shortcuts/pack_sparse.h"

namespace vitrine {
namespace {

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const std::optional<double> least = call.has("least") ? std::optional(call.number("least", 0.0, 1.0)) : std::nullopt;
  pack_sparse(model, bench.ops.pool(), least, report);
  if (report.matrices.empty()) report.notes.push_back("no matrix has enough zeros to be packed");
}

}  // namespace

const Shortcut& shortcut_pack_sparse() {
  static const Shortcut shortcut{"pack_sparse", "matrices with many zeros without these: same numbers, fewer bytes, faster one-row products", "", "pack_sparse",
                                 {{"least", "share of zeros from which a matrix is packed (where its type gains: see docs/pruning.md)", "", true}}, nullptr, apply};
  return shortcut;
}

}  // namespace vitrine
