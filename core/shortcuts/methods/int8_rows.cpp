#include "core/shortcuts/gptq_rounding.h"

namespace vitrine {
namespace {

/// -127 to 127 under one scale a row, the largest number on the end.
Grid row_grid(std::span<const double> numbers) {
  double largest = 0.0;
  for (const double x : numbers) largest = std::max(largest, std::abs(x));
  return {largest / 127.0, 127.0, 0.0, 254.0};
}

void apply(Model& model, const ShortcutCall&, const ShortcutBench& bench, ShortcutReport& report) {
  round_matrices(model, {"int8, a scale an output channel", 0, DType::f32, [](auto numbers, auto) { return row_grid(numbers); }}, bench, report);
}

}  // namespace

const Shortcut& shortcut_int8_rows() {
  static const Shortcut shortcut{"int8_rows", "eight bits a number under one scale an output channel, in memory", "Dettmers et al. 2022, arXiv:2208.07339, section 2", "int8_rows", {}, nullptr, nullptr, apply};
  return shortcut;
}

}  // namespace vitrine
