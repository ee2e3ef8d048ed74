#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/linear_algebra.h"

namespace vitrine {

/// A dictionary of directions of which each row of activations takes a few (Bricken et al. 2023; Cunningham et al. 2023), as SAELens
/// stores it:
///   a = f((x - [b_dec]) W_enc + b_enc)     x' = a W_dec + b_dec
/// f: relu, the k largest through relu, or the number itself where it is above the feature's threshold (jumprelu).
struct SparseAutoencoder {
  enum class Activation { relu, top_k, jump_relu };
  Activation activation = Activation::relu;
  std::size_t k = 0;                   ///< of top_k
  bool subtracts_decoder_bias = true;  ///< "apply_b_dec_to_input"
  std::string hook;                    ///< the point that it was made for, or empty
  FloatMatrix encoder;                 ///< [width, features]
  FloatMatrix decoder;                 ///< [features, width]
  std::vector<float> encoder_bias;     ///< [features]
  std::vector<float> decoder_bias;     ///< [width]
  std::vector<float> threshold;        ///< [features] of jump_relu

  std::size_t width() const { return encoder.rows; }
  std::size_t features() const { return encoder.columns; }
  FloatMatrix encode(const FloatMatrix& x) const;            ///< [rows, width] -> [rows, features]
  FloatMatrix decode(const FloatMatrix& activations) const;  ///< [rows, features] -> [rows, width]
};

/// A folder of SAELens: cfg.json and sae_weights.safetensors. @throws Error on what is missing, misshapen or of a kind that is not known
SparseAutoencoder read_sparse_autoencoder(const std::filesystem::path& folder);
/// The same folder, which is made where only it is missing. @throws Error
void write_sparse_autoencoder(const SparseAutoencoder& autoencoder, const std::filesystem::path& folder);

struct TrainingChoice {
  std::size_t features = 0, steps = 1000, batch = 256;
  std::size_t k = 0;   ///< > 0: the k largest activations of a row; 0: relu with an l1 penalty
  double l1 = 1.0;     ///< on activations, in units of rows whose mean squared length is the width
  double rate = 3e-3;  ///< of Adam
  std::uint64_t seed = 0;
};
/// Least mean over rows of |x - x'|^2 + l1 |a|_1, decoder rows of length 1, by Adam (Kingma & Ba 2015). Features that no row of the last
/// quarter took are begun anew halfway, from the rows that are rebuilt worst (Bricken et al. 2023, without its optimiser's reset).
/// @param x  [rows, width]  @param step  told how many steps are done
SparseAutoencoder train_sparse_autoencoder(const FloatMatrix& x, const TrainingChoice& choice, const std::function<void(std::size_t step)>& step);

}  // namespace vitrine
