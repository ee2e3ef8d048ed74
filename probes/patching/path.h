#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "probes/patching/sweep.h"

namespace vitrine {

/// An input of a head, where a path ends: "L9H9.q".
struct PathEnd {
  std::size_t block = 0, head = 0;
  Site input = Site::q;
};

/// Reads "logits" (no ends) or heads' inputs with '+' between them. Of grouped heads a key or value is that of the whole group.
/// @throws Error (usage) where the model has no such head
std::vector<PathEnd> parse_path_ends(const ModelSpec& spec, std::string_view text);

/// Path patching (Wang et al. 2022, section 3.1 and appendix B; Goldowsky-Dill et al. 2023): what each head hands to the ends directly. Cell by cell
/// one head puts out what it put out in the source run, all heads of later blocks put out what they put out in the text's own run, and MLPs
/// and norms are run anew. With no ends the logits of that run are compared; else only what it gave the ends' inputs goes into a run of the text, whose
/// other heads then do as they do. Of a stack of blocks under a causal mask or none, not of an encoder-decoder.
/// @param source  of the sweep "z" by head
PatchSweep run_path_sweep(const ModelRunner& runner, const PatchQuestion& base, const SourceRun& source, std::span<const PathEnd> ends, std::size_t first_changed);

}  // namespace vitrine
