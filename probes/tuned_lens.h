#pragma once

#include <filesystem>
#include <vector>

#include "core/base/linear_algebra.h"

namespace vitrine {

/// Affine maps from each layer of the residual stream to what the last block hands on (Belrose et al. 2023): h + W h + b.
struct TunedLens {
  struct Translator {
    FloatMatrix weight;       ///< W, [width, width], rows are outputs
    std::vector<float> bias;  ///< [width]
  };
  std::vector<Translator> layers;  ///< of the residual stream before the first block, then behind each but the last

  /// [rows, width] of a layer, translated
  FloatMatrix translated(std::size_t layer, const FloatMatrix& rows) const;
};

/// Least sum over rows of |last - h - W h - b|^2 + penalty |W|^2, with the penalty as a share of the mean squared number of h times the
/// rows: the closed form that a tuned lens begins at.
/// @param h, last  [rows, width]
TunedLens::Translator fit_translator(const FloatMatrix& h, const FloatMatrix& last, double penalty);

/// safetensors: <layer>.weight [width, width], <layer>.bias [width], with layers counted from 0 = before the first block.
/// @throws Error
TunedLens read_tuned_lens(const std::filesystem::path& path, std::size_t layers, std::size_t width);
void write_tuned_lens(const TunedLens& lens, const std::filesystem::path& path);

}  // namespace vitrine
