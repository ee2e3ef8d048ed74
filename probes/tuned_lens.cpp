#include "probes/tuned_lens.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/safetensors_writer.h"

namespace vitrine {
namespace {

std::vector<double> means_of(const FloatMatrix& x) {
  std::vector<double> means(x.columns, 0.0);
  for (std::size_t i = 0; i < x.numbers.size(); ++i) means[i % x.columns] += x.numbers[i] / static_cast<double>(x.rows);
  return means;
}

Matrix less(const FloatMatrix& x, std::span<const double> means) {
  Matrix out(x.rows, x.columns);
  for (std::size_t i = 0; i < x.numbers.size(); ++i) out.numbers[i] = x.numbers[i] - means[i % x.columns];
  return out;
}

std::vector<float> numbers_of(const std::string& where, const Checkpoint& file, const std::string& name, const std::vector<std::size_t>& shape) {
  const NamedTensor* tensor = file.find(name);
  if (!tensor || tensor->shape != shape || dtype_info(tensor->weight.type).expand == nullptr) {
    throw Error({where, "a tensor " + name + " that fits this model", tensor ? "another shape or type" : "none", "fit a lens for this model"});
  }
  const Tensor numbers = expand(tensor->weight);
  return {numbers.floats().begin(), numbers.floats().end()};
}

}  // namespace

FloatMatrix TunedLens::translated(std::size_t layer, const FloatMatrix& rows) const {
  if (layer == layers.size()) return rows;  // the last
  const Translator& translator = layers[layer];
  FloatMatrix out = product_with_transposed(rows, translator.weight);
  for (std::size_t i = 0; i < out.numbers.size(); ++i) out.numbers[i] += rows.numbers[i] + translator.bias[i % out.columns];
  return out;
}

TunedLens::Translator fit_translator(const FloatMatrix& h, const FloatMatrix& last, double penalty) {
  VITRINE_CHECK(h.rows == last.rows && h.columns == last.columns && h.rows > 0);
  const std::vector<double> means = means_of(h), last_means = means_of(last);
  const Matrix x = less(h, means);
  Matrix y = less(last, last_means);
  for (std::size_t i = 0; i < y.numbers.size(); ++i) y.numbers[i] -= x.numbers[i];
  Matrix squares = product_of_transposed(x, x);
  double trace = 0.0;
  for (std::size_t c = 0; c < squares.columns; ++c) trace += squares(c, c) / static_cast<double>(squares.columns);
  for (std::size_t c = 0; c < squares.columns; ++c) squares(c, c) += std::max(penalty * trace, 1e-30);
  const std::optional<Matrix> solved = solve_positive(squares, product_of_transposed(x, y));  // [in, out]
  if (!solved) throw Error({"tuned lens", "rows that a translator can be fitted to", "a singular system", "give a larger --set penalty"});
  TunedLens::Translator translator{FloatMatrix(h.columns, h.columns), std::vector<float>(h.columns)};
  for (std::size_t out = 0; out < h.columns; ++out) {
    double bias = last_means[out] - means[out];
    for (std::size_t in = 0; in < h.columns; ++in) {
      translator.weight(out, in) = static_cast<float>((*solved)(in, out));
      bias -= (*solved)(in, out) * means[in];
    }
    translator.bias[out] = static_cast<float>(bias);
  }
  return translator;
}

TunedLens read_tuned_lens(const std::filesystem::path& path, std::size_t layers, std::size_t width) {
  const Checkpoint file = open_checkpoint(path);
  TunedLens lens;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    TunedLens::Translator& translator = lens.layers.emplace_back(TunedLens::Translator{FloatMatrix(width, width), {}});
    translator.weight.numbers = numbers_of(path.string(), file, std::to_string(layer) + ".weight", {width, width});
    translator.bias = numbers_of(path.string(), file, std::to_string(layer) + ".bias", {width});
  }
  return lens;
}

void write_tuned_lens(const TunedLens& lens, const std::filesystem::path& path) {
  std::map<std::string, NamedFloats> tensors;
  for (std::size_t layer = 0; layer < lens.layers.size(); ++layer) {
    const TunedLens::Translator& translator = lens.layers[layer];
    tensors[std::to_string(layer) + ".weight"] = {{translator.weight.rows, translator.weight.columns}, translator.weight.numbers};
    tensors[std::to_string(layer) + ".bias"] = {{translator.bias.size()}, translator.bias};
  }
  write_safetensors(path, tensors, {{"format", "vitrine-tuned-lens"}});
}

}  // namespace vitrine
