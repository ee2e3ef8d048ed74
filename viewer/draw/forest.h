#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "probes/statistics/estimate.h"
#include "viewer/draw/heat_map.h"

namespace vitrine {

/// A verdict's colour: orange where something differs, blue where it is equivalent or trivial, grey where nothing can be said.
std::uint32_t verdict_ink(Verdict verdict);
/// "not measurable"
std::string verdict_words(Verdict verdict);
/// The point of an estimate: filled where it differs, a ring where it is equivalent, both where it is trivial, a square where it is
/// inconclusive, a cross where there is no number. Shapes, so that nothing hangs on colours.
void draw_verdict(Corner middle, float radius, Verdict verdict);
/// What shapes and lines mean, in a line or two.
void draw_forest_legend();

/// Estimates as points with their intervals, one axis for each unit: margin as a band around the null, control as a diamond, numbers and
/// verdict in words beside. Rows are named items: `items`/row/0, ...
/// @param chosen  the row that is marked  @returns the row that was clicked
std::optional<std::size_t> draw_forest(std::string_view items, std::span<const Estimate> estimates, std::optional<std::size_t> chosen);

/// "0.123 [-0.4, 0.6]"; empty where there is no number.
std::string value_text(const Estimate& estimate);
/// A text that takes at most `width` pixels; what is cut is in the middle, since names differ at both ends.
std::string fitted(const std::string& text, float width);

}  // namespace vitrine
