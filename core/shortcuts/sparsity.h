#pragma once

#include <span>

#include "core/shortcuts/sequential.h"

namespace vitrine {

/// Which numbers of a matrix go.
struct Sparsity {
  double share = 0.5;                 ///< of zeros, where `group` is 0
  std::size_t kept = 0, group = 0;    ///< N:M, of every M columns of a row N stay
};

/// Over which numbers scores are compared where there are no groups.
enum class MaskScope { matrix, row };

/// Keys `sparsity` and `pattern` of a shortcut.
inline constexpr ShortcutOption sparsity_option{"sparsity", "share of zeros, 0 to 1", "0.5"};
inline constexpr ShortcutOption pattern_option{"pattern", "N:M, of every M columns N stay, such as 2:4", "", true};

/// @throws Error (usage) where the values make no sense, or the columns of a block matrix are no multiple of the group
Sparsity sparsity_of(const ShortcutCall& call, const Model& model);

/// Whether it can be read and fits: Shortcut::check of what needs no more.
void check_sparsity(const Model& model, const ShortcutCall& call, std::size_t calibration_tokens);

/// "2:4", "50% zeros"
std::string spelled(const Sparsity& sparsity);

/// The numbers with the lowest scores, of equals the first: share of all of them, rounded down, or group - kept of every group.
/// @param scores  [rows, cols] @returns [rows, cols] 1 where a number goes
std::vector<std::uint8_t> lowest(std::span<const double> scores, std::size_t cols, const Sparsity& sparsity, MaskScope scope);

/// Zeros in their place. @param numbers  [rows, cols] f32
void zero_lowest(Tensor& numbers, std::span<const double> scores, const Sparsity& sparsity, MaskScope scope);

/// The `random_mask` of the same sparsity, which judges a choice.
std::string random_mask_like(const ShortcutCall& call);

}  // namespace vitrine
