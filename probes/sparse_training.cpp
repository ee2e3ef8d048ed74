#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/adam.h"
#include "probes/sparse_autoencoder.h"

// Training of sparse autoencoders. The gradients of |x - x'|^2 + l1 |a|_1 with a = f((x - b) W + c), x' = a D + b:
//   dx' = 2 (x' - x)     dD = a^T dx'     da = dx' D^T + l1, where a > 0     dW = (x - b)^T da     dc = sum da     db = sum dx' - W da

namespace vitrine {
namespace {

using Activation = SparseAutoencoder::Activation;

void unit_rows(FloatMatrix& a) {
  for (std::size_t r = 0; r < a.rows; ++r) {
    const float length = std::sqrt(std::inner_product(&a(r, 0), &a(r, 0) + a.columns, &a(r, 0), 0.0f));
    for (std::size_t c = 0; c < a.columns; ++c) a(r, c) /= std::max(length, 1e-12f);
  }
}

/// Rows so long that their mean squared length about the mean is the width, and back.
double common_scale(const FloatMatrix& x, std::span<const float> mean) {
  double squares = 0.0;
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) squares += static_cast<double>(x(r, c) - mean[c]) * (x(r, c) - mean[c]);
  }
  return squares > 0.0 ? std::sqrt(static_cast<double>(x.rows * x.columns) / squares) : 1.0;
}

std::vector<float> column_means(const FloatMatrix& x) {
  std::vector<double> sums(x.columns, 0.0);
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; c < x.columns; ++c) sums[c] += x(r, c);
  }
  std::vector<float> means;
  for (const double sum : sums) means.push_back(static_cast<float>(sum / static_cast<double>(x.rows)));
  return means;
}

class Trainer {
 public:
  Trainer(const FloatMatrix& x, const TrainingChoice& choice) : choice_(choice), x_(x), random_(choice.seed), taken_(choice.features, 0) {
    const std::vector<float> mean = column_means(x);
    scale_ = common_scale(x, mean);
    for (float& number : x_.numbers) number = static_cast<float>(number * scale_);
    model_.activation = choice.k > 0 ? Activation::top_k : Activation::relu;
    model_.k = std::min(choice.k, choice.features);
    model_.decoder = FloatMatrix(choice.features, x.columns);
    std::normal_distribution<float> normal;
    for (float& number : model_.decoder.numbers) number = normal(random_);
    unit_rows(model_.decoder);
    model_.encoder = FloatMatrix(x.columns, choice.features);
    for (std::size_t f = 0; f < choice.features; ++f) copy_to_encoder(f);
    model_.encoder_bias.assign(choice.features, 0.0f);
    for (const float number : mean) model_.decoder_bias.push_back(static_cast<float>(number * scale_));
    for (std::vector<float>* part : parameters()) adam_.emplace_back(part->size());
  }

  void step(std::size_t index) {
    FloatMatrix batch(std::min(choice_.batch, x_.rows), x_.columns);
    for (std::size_t r = 0; r < batch.rows; ++r) std::copy_n(&x_(random_() % x_.rows, 0), x_.columns, &batch(r, 0));
    FloatMatrix activations = model_.encode(batch), off = model_.decode(activations);
    for (std::size_t i = 0; i < off.numbers.size(); ++i) off.numbers[i] = 2.0f * (off.numbers[i] - batch.numbers[i]) / static_cast<float>(batch.rows);
    FloatMatrix back = product_with_transposed(off, model_.decoder);
    const float l1 = choice_.k > 0 ? 0.0f : static_cast<float>(choice_.l1 / static_cast<double>(batch.rows));
    for (std::size_t i = 0; i < back.numbers.size(); ++i) {
      const bool active = activations.numbers[i] > 0.0f;
      back.numbers[i] = active ? back.numbers[i] + l1 : 0.0f;
      if (active) taken_[i % back.columns] = index + 1;
    }
    for (std::size_t r = 0; r < batch.rows; ++r) {
      for (std::size_t c = 0; c < batch.columns; ++c) batch(r, c) -= model_.decoder_bias[c];
    }
    descend(batch, activations, off, back, index);
  }

  /// Halfway: features that the last quarter did not take.
  void begin_anew(std::size_t index) {
    const FloatMatrix rebuilt = model_.decode(model_.encode(x_));
    std::vector<double> errors(x_.rows, 0.0);
    for (std::size_t i = 0; i < x_.numbers.size(); ++i) errors[i / x_.columns] += std::pow(x_.numbers[i] - rebuilt.numbers[i], 2.0);
    std::vector<std::size_t> worst(x_.rows);
    std::iota(worst.begin(), worst.end(), std::size_t{0});
    std::ranges::stable_sort(worst, std::ranges::greater{}, [&](std::size_t r) { return errors[r]; });
    std::size_t next = 0;
    for (std::size_t f = 0; f < choice_.features; ++f) {
      if (taken_[f] + choice_.steps / 4 > index) continue;
      const std::size_t row = worst[next++ % worst.size()];
      float* direction = &model_.decoder(f, 0);
      double length = 0.0;
      for (std::size_t c = 0; c < x_.columns; ++c) {
        direction[c] = x_(row, c) - rebuilt(row, c);
        length += direction[c] * direction[c];
      }
      for (std::size_t c = 0; c < x_.columns; ++c) direction[c] /= static_cast<float>(std::max(std::sqrt(length), 1e-12));
      copy_to_encoder(f);
      model_.encoder_bias[f] = 0.0f;
    }
  }

  /// In the units of the rows as they came.
  SparseAutoencoder finished() const {
    SparseAutoencoder result = model_;
    // Both activations are homogeneous: with biases divided by the scale, activations and what they rebuild are divided by it too.
    const auto back = static_cast<float>(1.0 / scale_);
    for (float& number : result.encoder_bias) number *= back;
    for (float& number : result.decoder_bias) number *= back;
    return result;
  }

 private:
  std::array<std::vector<float>*, 4> parameters() {
    return {&model_.encoder.numbers, &model_.encoder_bias, &model_.decoder.numbers, &model_.decoder_bias};
  }

  void copy_to_encoder(std::size_t feature) {
    for (std::size_t c = 0; c < x_.columns; ++c) model_.encoder(c, feature) = model_.decoder(feature, c);
  }

  void descend(const FloatMatrix& input, const FloatMatrix& activations, const FloatMatrix& off, const FloatMatrix& back, std::size_t index) {
    const FloatMatrix encoder = product_of_transposed(input, back), decoder = product_of_transposed(activations, off),
                      into = product_with_transposed(back, model_.encoder);
    std::vector<float> encoder_bias(choice_.features, 0.0f), decoder_bias(x_.columns, 0.0f);
    for (std::size_t i = 0; i < back.numbers.size(); ++i) encoder_bias[i % back.columns] += back.numbers[i];
    for (std::size_t i = 0; i < off.numbers.size(); ++i) decoder_bias[i % off.columns] += off.numbers[i] - into.numbers[i];
    const std::array<const std::vector<float>*, 4> gradients{&encoder.numbers, &encoder_bias, &decoder.numbers, &decoder_bias};
    const double left = 1.0 - static_cast<double>(index) / static_cast<double>(choice_.steps);
    for (std::size_t p = 0; p < gradients.size(); ++p) adam_[p].step(*gradients[p], choice_.rate * std::min(1.0, 5.0 * left), *parameters()[p]);
    unit_rows(model_.decoder);
  }

  const TrainingChoice choice_;
  FloatMatrix x_;
  double scale_ = 1.0;
  std::mt19937_64 random_;
  SparseAutoencoder model_;
  std::vector<Adam> adam_;
  std::vector<std::size_t> taken_;  // [features] the last step whose batch took it
};

}  // namespace

SparseAutoencoder train_sparse_autoencoder(const FloatMatrix& x, const TrainingChoice& choice, const std::function<void(std::size_t step)>& step) {
  VITRINE_CHECK(x.rows > 0 && choice.features > 0 && choice.steps > 0);
  Trainer trainer(x, choice);
  for (std::size_t index = 0; index < choice.steps; ++index) {
    trainer.step(index);
    if (index + 1 == choice.steps / 2) trainer.begin_anew(index);
    step(index + 1);
  }
  return trainer.finished();
}

}  // namespace vitrine
