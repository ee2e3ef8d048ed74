#pragma once

#include <span>

#include "core/shortcuts/shortcut.h"

// Whole blocks (of an encoder-decoder: the decoder's).

namespace vitrine {

/// Takes blocks out of the model: the others move up. @param dropped  places, rising, not all of them
void remove_blocks(Model& model, std::span<const std::size_t> dropped, ShortcutReport& report);
/// The key `count`: so many blocks, at least one of which stays.
std::size_t blocks_wanted(const ShortcutCall& call, const Model& model);

}  // namespace vitrine
