#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "core/model/forwarding_ops.h"
#include "core/shortcuts/sequential.h"

namespace vitrine {
namespace {

constexpr float levels = 127.0f;

/// scale * whole numbers of [-127, 127], the largest magnitude becoming 127.
void round_to_levels(std::span<const float> from, float* to) {
  float largest = 0.0f;
  for (const float number : from) largest = std::max(largest, std::abs(number));
  if (largest == 0.0f) {
    std::ranges::copy(from, to);
    return;
  }
  const float scale = largest / levels;
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = std::nearbyint(from[i] / scale) * scale;
}

/// Rounds every row that goes into the matrices of the blocks, with a scale of its own (a token's).
class RoundingOps : public ForwardingOps {
 public:
  RoundingOps(Ops& base, const Model& model) : ForwardingOps(base) {
    for (const WeightKey& key : block_matrices(model)) {
      for (const WeightKey& sharing : sharing_matrix(model, key)) wanted_.insert(&model.weights.at(sharing));
    }
  }

  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override {
    rounded_products_.clear();
    plain_products_.clear();
    for (const Product& product : products) (wanted_.contains(product.weight) ? rounded_products_ : plain_products_).push_back(product);
    if (!plain_products_.empty()) base().multiply(x, plain_products_);
    if (rounded_products_.empty()) return;
    const std::size_t rows = x.extent(0), columns = x.extent(1);
    rounded_.resize(std::max(rounded_.size(), rows * columns));
    for (std::size_t r = 0; r < rows; ++r) round_to_levels({&x(r, 0), columns}, rounded_.data() + r * columns);
    base().multiply({rounded_.data(), {rows, columns}}, rounded_products_);
  }

 private:
  std::set<const Weight*> wanted_;
  std::vector<Product> rounded_products_, plain_products_;
  std::vector<float> rounded_;  // [rows, columns]
};

/// 8 bits for both factors of every product of the blocks, a scale a token and one an output row: quality as it would be, computed in f32.
void apply(Model& model, const ShortcutCall&, const ShortcutBench& bench, ShortcutReport& report) {
  change_matrices(model, bench, "int8 a row", [&](const WeightKey&, Tensor& numbers, const SharedStatistics&) {
    const std::size_t cols = numbers.shape()[1];
    for (std::size_t r = 0; r < numbers.shape()[0]; ++r) {
      float* row = numbers.floats().data() + r * cols;
      round_to_levels({row, cols}, row);
    }
  }, report);
  report.notes.push_back("products of 8 bits are simulated: this says what they cost in quality, not what they save in time");
  report.layers.push_back([](Ops& base, const Model& changed) -> std::unique_ptr<Ops> { return std::make_unique<RoundingOps>(base, changed); });
}

}  // namespace

const Shortcut& shortcut_activation_int8() {
  static const Shortcut shortcut{"activation_int8", "8 bits for both factors of the blocks' products: a scale a token, a scale a row of weights", "Xiao et al. 2022, arXiv:2211.10438 (W8A8, per token and channel)",
                                 "activation_int8", {}, nullptr, nullptr, apply, nullptr, [](const ShortcutCall&) { return Layering::around; }};
  return shortcut;
}

}  // namespace vitrine
