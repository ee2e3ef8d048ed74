#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/block_pass.h"
#include "core/model/block_slots_internal.h"

// A mixture of experts (Shazeer et al. 2017, arXiv:1701.06538; Jiang et al. 2024, arXiv:2401.04088): a router says which MLPs
// a row goes through, and the rows of an expert are multiplied together.

namespace vitrine {
namespace {

void softmax(std::span<const float> logits, std::span<float> weights) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - top));
  for (std::size_t i = 0; i < logits.size(); ++i) weights[i] = static_cast<float>(std::exp(static_cast<double>(logits[i] - top)) / sum);
}

/// Places of the largest numbers, the first of equal ones before the others.
void largest(std::span<const float> numbers, std::span<float> places) {
  for (std::size_t k = 0; k < places.size(); ++k) {
    std::size_t best = numbers.size();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const bool taken = std::ranges::find(places.first(k), static_cast<float>(i)) != places.begin() + static_cast<std::ptrdiff_t>(k);
      if (!taken && (best == numbers.size() || numbers[i] > numbers[best])) best = i;
    }
    places[k] = static_cast<float>(best);
  }
}

}  // namespace

/// Which expert takes which row, by expert and then by row.
std::pmr::vector<BlockPass::ExpertRow> BlockPass::choose_experts(int index, TensorView<float, 2> input) {
  const MlpSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].mlp;
  const std::size_t rows = input.extent(0), chosen = spec.experts_per_row;
  const TensorView<float, 2> routing = matrix(router, 2 * spec.experts), places = matrix(expert_choice, chosen);
  const TensorView<float, 2> logits = columns(routing, 0, spec.experts), weights = columns(routing, spec.experts, spec.experts);
  const Product products[] = {product(Role::mlp_router, index, logits)};
  context_.ops.multiply(input, products);
  show(at(index, Site::router_logits), logits);
  for (std::size_t r = 0; r < rows; ++r) softmax({&logits(r, 0), spec.experts}, {&weights(r, 0), spec.experts});
  show(at(index, Site::expert_weights), weights);
  std::pmr::vector<ExpertRow> choice(context_.workspace.lists());
  for (std::size_t r = 0; r < rows; ++r) {
    largest({&weights(r, 0), spec.experts}, {&places(r, 0), chosen});
    float sum = 0.0f;
    for (std::size_t k = 0; k < chosen; ++k) sum += weights(r, static_cast<std::size_t>(places(r, k)));
    for (std::size_t k = 0; k < chosen; ++k) {
      const auto expert = static_cast<std::uint32_t>(places(r, k));
      choice.push_back({expert, static_cast<std::uint32_t>(r), weights(r, expert) / sum});
    }
  }
  show(at(index, Site::expert_indices), places);
  std::ranges::sort(choice, [](const ExpertRow& a, const ExpertRow& b) { return a.expert != b.expert ? a.expert < b.expert : a.row < b.row; });
  return choice;
}

/// out += weight * MLP of the expert, for the rows that it takes.
void BlockPass::run_expert(int index, int expert, std::span<const ExpertRow> rows, const ExpertRows& of) {
  const MlpSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].mlp;
  // Buffers are of the pass's rows, whatever this expert takes: a token loop asks for the same again and again.
  const TensorView<float, 2> input = matrix(expert_rows, spec_.width).slice(0, rows.size()), pre = matrix(gate, spec.width).slice(0, rows.size()),
                             out = matrix(expert_out, spec_.width).slice(0, rows.size());
  TensorView<float, 2> linear;
  for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(&of.input(rows[i].row, 0), spec_.width, &input(i, 0));
  if (spec.gated) {
    linear = matrix(up, spec.width).slice(0, rows.size());
    const Product products[] = {product(Role::mlp_gate, index, pre, expert), product(Role::mlp_up, index, linear, expert)};
    context_.ops.multiply(input, products);
  } else {
    const Product products[] = {product(Role::mlp_up, index, pre, expert)};
    context_.ops.multiply(input, products);
  }
  context_.ops.activate(spec.activation, pre, linear, pre);
  const Product products[] = {product(Role::mlp_down, index, out, expert)};
  context_.ops.multiply(pre, products);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t c = 0; c < spec_.width; ++c) of.out(rows[i].row, c) += rows[i].weight * out(i, c);
  }
}

TensorView<float, 2> BlockPass::expert_mlp(int index, TensorView<float, 2> input) {
  const std::pmr::vector<ExpertRow> choice = choose_experts(index, input);
  const TensorView<float, 2> out = matrix(mlp_result, spec_.width);
  std::fill_n(out.data(), out.size(), 0.0f);
  for (auto first = choice.begin(); first != choice.end();) {
    const auto last = std::find_if(first, choice.end(), [&](const ExpertRow& row) { return row.expert != first->expert; });
    run_expert(index, static_cast<int>(first->expert), {first, last}, {input, out});
    first = last;
  }
  return out;
}

}  // namespace vitrine
