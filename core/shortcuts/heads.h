#pragma once

#include <span>

#include "core/model/head_place.h"
#include "core/shortcuts/shortcut.h"

// Whole heads of self attention (of an encoder-decoder: the decoder's).

namespace vitrine {

/// Of the keys `share` and `count`, of which one is given: so many heads. @throws Error (usage)
std::size_t heads_wanted(const ShortcutCall& call, const Model& model);
std::vector<HeadPlace> attention_heads(const ModelSpec& spec);
/// Zeros in the columns of the attention's output matrix that read these heads: their queries and keys are still computed, and change
/// nothing. A file keeps its shape, so that every reader opens it; grouped heads share keys and values that the others need.
void silence(Model& model, std::span<const HeadPlace> heads, const std::string& made, ShortcutReport& report);
/// "L0H1 L2H0"
std::string labels(std::span<const HeadPlace> heads);

}  // namespace vitrine
