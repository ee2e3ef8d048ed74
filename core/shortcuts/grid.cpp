#include "core/shortcuts/grid.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/base/half.h"

namespace vitrine {
namespace {

std::uint16_t half_at(const std::byte* source) {
  std::uint16_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return bits;
}

/// The grid of a block type's own search over a run of 32.
Grid grid_of_block(DType type, std::span<const double> numbers, std::span<const double> importance) {
  float source[32], weights[32];
  std::byte block[40];
  for (std::size_t i = 0; i < 32; ++i) {
    source[i] = static_cast<float>(numbers[i]);
    weights[i] = importance.empty() ? 1.0f : static_cast<float>(importance[i]);
  }
  const DTypeInfo& info = dtype_info(type);
  info.compress_weighted ? info.compress_weighted(source, weights, block, 32) : info.compress(source, block, 32);
  const double scale = f32_from_f16(half_at(block));
  if (type == DType::q4_1) return {scale, 0.0, f32_from_f16(half_at(block + 2)), 15.0};
  return type == DType::q4_0 ? Grid{scale, 8.0, 0.0, 15.0} : Grid{scale, 128.0, 0.0, 255.0};
}

constexpr std::string_view block_words[] = {"grid", "Q4_0", "Q4_1", "Q8_0"};
constexpr DType block_types[] = {DType::f32, DType::q4_0, DType::q4_1, DType::q8_0};

}  // namespace

double Grid::level(double x) const {
  if (scale == 0.0) return std::clamp(zero, 0.0, top);
  return std::clamp(std::nearbyint((x - minimum) / scale) + zero, 0.0, top);
}

Grid nearest_grid(std::span<const double> numbers, std::size_t bits, bool is_symmetric) {
  const auto [smallest, largest] = std::ranges::minmax(numbers);
  double low = std::min(smallest, 0.0), high = std::max(largest, 0.0);
  if (is_symmetric) {
    high = std::max(-low, high);
    low = low < 0.0 ? -high : low;
  }
  if (low == 0.0 && high == 0.0) low = -1.0, high = 1.0;
  const double top = std::ldexp(1.0, static_cast<int>(bits)) - 1.0, scale = (high - low) / top;
  return {scale, is_symmetric ? (top + 1.0) / 2.0 : std::nearbyint(-low / scale), 0.0, top};
}

GridRule grid_rule(const ShortcutCall& call) {
  const std::size_t bits = call.whole("bits", 2, 8), group = call.whole("group", 0, 1 << 20);
  const bool symmetric = call.flag("symmetric");
  GridRule rule{std::to_string(bits) + " bits, " + (group == 0 ? "a grid a row" : "groups of " + std::to_string(group)) + (symmetric ? ", symmetric" : ", asymmetric"), group, DType::f32, {}};
  rule.fit = [bits, symmetric](auto numbers, auto) { return nearest_grid(numbers, bits, symmetric); };
  return rule;
}

GridRule block_grid_rule(const ShortcutCall& call) {
  const std::size_t word = call.choice("type", block_words);
  if (word == 0) return grid_rule(call);
  const DType type = block_types[word];
  return {std::string(block_words[word]), 32, type, [type](auto numbers, auto importance) { return grid_of_block(type, numbers, importance); }};
}

std::vector<ShortcutOption> grid_options(std::string_view bits, std::string_view group) {
  return {{"bits", "of a number, 2 to 8", bits}, {"group", "numbers under one scale; 0: a row", group}, {"symmetric", "yes: zero in the middle of the levels; no", "no"}};
}

void store_blocks(DType type, std::span<const Grid> grids, std::span<const double> levels, std::byte* target) {
  const std::size_t block_bytes = dtype_info(type).block_bytes;
  for (std::size_t b = 0; b < grids.size(); ++b, target += block_bytes) {
    const std::uint16_t scale = f16_from_f32(static_cast<float>(grids[b].scale)), minimum = f16_from_f32(static_cast<float>(grids[b].minimum));
    std::memcpy(target, &scale, sizeof scale);
    if (type == DType::q4_1) std::memcpy(target + 2, &minimum, sizeof minimum);
    std::byte* place = target + (type == DType::q4_1 ? 4 : 2);
    const double* of_block = levels.data() + 32 * b;
    for (std::size_t i = 0; i < 16; ++i) {
      const int low = static_cast<int>(of_block[i]), high = static_cast<int>(of_block[i + 16]);
      if (type == DType::q8_0) {
        place[i] = static_cast<std::byte>(low - 128);
        place[i + 16] = static_cast<std::byte>(high - 128);
      } else {
        place[i] = static_cast<std::byte>(low | high << 4);
      }
    }
  }
}

std::set<WeightKey> divided_matrices(const Model& model, const GridRule& rule, std::vector<std::string>& notes) {
  std::set<WeightKey> divided;
  std::map<std::size_t, std::size_t> others;  // columns, number of matrices
  const std::vector<WeightKey> keys = block_matrices(model);
  for (const WeightKey& key : keys) {
    const std::size_t cols = model.weights.at(key).cols;
    if (cols % rule.run_of(cols) == 0) divided.insert(key);
    else if (rule.blocks != DType::f32) ++others[cols];
    else throw Error({matrix_name(key), "rows that groups of " + std::to_string(rule.group) + " divide", std::to_string(cols) + " numbers a row", "choose another group"}, Fault::usage);
  }
  if (divided.empty() && !keys.empty()) {
    throw Error({"type " + rule.name, "a matrix whose rows are whole blocks of " + std::to_string(rule.group), std::to_string(others.begin()->first) + " numbers a row", ""}, Fault::usage);
  }
  for (const auto& [cols, count] : others) {
    notes.push_back("rows of " + std::to_string(cols) + " numbers are no whole blocks of " + rule.name + ": they stay as they were (" + std::to_string(count) +
                    (count == 1 ? " matrix)" : " matrices)"));
  }
  return divided;
}

void require_divided_matrices(const Model& model, const GridRule& rule) {
  std::vector<std::string> notes;
  divided_matrices(model, rule, notes);
}

}  // namespace vitrine
