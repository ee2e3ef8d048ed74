#include "core/shortcuts/low_rank_ops.h"

namespace vitrine {
namespace {

TensorView<float, 2> scratch(std::vector<float>& memory, std::size_t rows, std::size_t columns) {
  if (memory.size() < rows * columns) memory.resize(rows * columns);
  return {memory.data(), {rows, columns}};
}

}  // namespace

void LowRankOps::multiply(TensorView<const float, 2> x, std::span<const Product> products) {
  plain_.clear();
  for (const Product& product : products) {
    const auto term = terms_.find(product.weight);
    if (term == terms_.end() || term->second.of == LowRankTerm::Of::sum) plain_.push_back(product);
  }
  if (!plain_.empty()) base().multiply(x, plain_);
  for (const Product& product : products) {
    const auto found = terms_.find(product.weight);
    if (found == terms_.end()) continue;
    const LowRankTerm& term = found->second;
    const TensorView<float, 2> inner = scratch(inner_, x.extent(0), term.down.rows);
    const Product down[] = {{&term.down, nullptr, inner, product.coarse}};
    base().multiply(x, down);
    const bool whole = term.of == LowRankTerm::Of::whole;
    const TensorView<float, 2> out = whole ? product.out : scratch(added_, x.extent(0), term.up.rows);
    const Product up[] = {{&term.up, whole ? product.bias : nullptr, out, product.coarse}};
    base().multiply(inner, up);
    if (!whole) base().add(product.out, out, product.out);
  }
}

void LowRankOps::multiply_transposed(TensorView<const float, 2> g, const Weight& weight, TensorView<float, 2> out) {
  const auto found = terms_.find(&weight);
  const bool whole = found != terms_.end() && found->second.of == LowRankTerm::Of::whole;
  if (!whole) base().multiply_transposed(g, weight, out);
  if (found == terms_.end()) return;
  const LowRankTerm& term = found->second;
  const TensorView<float, 2> inner = scratch(inner_, g.extent(0), term.up.cols);
  base().multiply_transposed(g, term.up, inner);
  const TensorView<float, 2> added = whole ? out : scratch(added_, g.extent(0), term.down.cols);
  base().multiply_transposed(inner, term.down, added);
  if (!whole) base().add(out, added, out);
}

OpsLayer low_rank_layer(std::map<WeightKey, LowRankTerm> terms) {
  return [terms = std::move(terms)](Ops& base, const Model& model) -> std::unique_ptr<Ops> {
    std::map<const Weight*, LowRankTerm> of_weights;
    for (const auto& [key, term] : terms) {
      for (const WeightKey& sharing : sharing_matrix(model, key)) of_weights.emplace(&model.weights.at(sharing), term);
    }
    return std::make_unique<LowRankOps>(base, std::move(of_weights));
  };
}

}  // namespace vitrine
