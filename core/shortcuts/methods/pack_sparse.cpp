#include "core/shortcuts/pack_sparse.h"

namespace vitrine {
namespace {

std::optional<double> least_share(const ShortcutCall& call) { return call.has("least") ? std::optional(call.number("least", 0.0, 1.0)) : std::nullopt; }

void check(const Model&, const ShortcutCall& call, std::size_t) { least_share(call); }

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  pack_sparse(model, bench.ops.pool(), least_share(call), report);
  if (report.matrices.empty()) report.notes.push_back("no matrix has enough zeros to be packed");
}

}  // namespace

const Shortcut& shortcut_pack_sparse() {
  static const Shortcut shortcut{"pack_sparse", "matrices with many zeros without these: same numbers, fewer bytes, faster one-row products", "", "pack_sparse",
                                 {{"least", "share of zeros from which a matrix is packed (where its type gains: see docs/pruning.md)", "", true}}, nullptr, check, apply};
  return shortcut;
}

}  // namespace vitrine
