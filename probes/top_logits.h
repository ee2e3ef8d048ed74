#pragma once

#include <cstdint>
#include <span>

namespace vitrine {

/// The largest logits of a row, largest first; the lower id first among equals.
/// @param logits  [vocabulary], at least as many as asked for
void largest_logits(std::span<const float> logits, std::span<std::int32_t> ids, std::span<float> values);

}  // namespace vitrine
