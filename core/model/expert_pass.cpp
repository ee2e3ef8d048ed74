#include <algorithm>

#include "core/base/error.h"
#include "core/model/block_pass.h"
#include "core/model/block_slots_internal.h"

// A mixture of experts (Shazeer et al. 2017, arXiv:1701.06538; Jiang et al. 2024, arXiv:2401.04088): a router says which MLPs
// a row goes through, and the rows of an expert are multiplied together.

namespace vitrine {
namespace {

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

/// Which expert takes which row, by expert and then by row, and what each choice weighs.
BlockPass::ExpertChoice BlockPass::choose_experts(int index, TensorView<float, 2> input) {
  const MlpSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].mlp;
  const std::size_t rows = input.extent(0), chosen = spec.experts_per_row;
  const TensorView<float, 2> routing = matrix(router, 2 * spec.experts), choices = matrix(expert_choice, 2 * chosen);
  const TensorView<float, 2> logits = columns(routing, 0, spec.experts), weights = columns(routing, spec.experts, spec.experts),
                             places = columns(choices, 0, chosen), shares = columns(choices, chosen, chosen);
  const Product products[] = {product(Role::mlp_router, index, logits)};
  context_.ops.multiply(input, products);
  show(at(index, Site::router_logits), logits);
  context_.ops.softmax(logits, weights);
  show(at(index, Site::expert_weights), weights);
  ExpertChoice choice{std::pmr::vector<std::uint32_t>(context_.workspace.lists()), std::pmr::vector<TakenRow>(context_.workspace.lists()), shares};
  for (std::size_t r = 0; r < rows; ++r) largest({&weights(r, 0), spec.experts}, {&places(r, 0), chosen});
  context_.ops.share(weights, places, shares);
  show(at(index, Site::expert_indices), places);
  for (std::uint32_t expert = 0; expert < spec.experts; ++expert) {
    for (std::uint32_t r = 0; r < rows; ++r) {
      for (std::uint32_t place = 0; place < chosen; ++place) {
        if (static_cast<std::uint32_t>(places(r, place)) != expert) continue;
        choice.experts.push_back(expert);
        choice.taken.push_back({r, place});
      }
    }
  }
  return choice;
}

/// The expert's MLP of the rows that it takes. @param out  [taken, width]
void BlockPass::run_expert(const ExpertOf& of, TensorView<float, 2> input, TensorView<float, 2> out) {
  const MlpSpec& spec = spec_.blocks[static_cast<std::size_t>(of.index)].mlp;
  // Buffers are of the pass's rows, whatever this expert takes: a token loop asks for the same again and again.
  const std::size_t count = of.taken.size();
  const TensorView<float, 2> rows = matrix(expert_rows, spec_.width).slice(0, count), pre = matrix(gate, spec.width).slice(0, count);
  TensorView<float, 2> linear;
  std::pmr::vector<std::size_t> places(context_.workspace.lists());
  for (const TakenRow& taken : of.taken) places.push_back(taken.row);
  context_.ops.select(input, places, rows);
  if (spec.gated) {
    linear = matrix(up, spec.width).slice(0, count);
    const Product products[] = {product(Role::mlp_gate, of.index, pre, of.expert), product(Role::mlp_up, of.index, linear, of.expert)};
    context_.ops.multiply(rows, products);
  } else {
    const Product products[] = {product(Role::mlp_up, of.index, pre, of.expert)};
    context_.ops.multiply(rows, products);
  }
  context_.ops.activate(spec.activation, pre, linear, pre);
  const Product products[] = {product(Role::mlp_down, of.index, out, of.expert)};
  context_.ops.multiply(pre, products);
}

TensorView<float, 2> BlockPass::expert_mlp(int index, TensorView<float, 2> input) {
  const std::size_t chosen = spec_.blocks[static_cast<std::size_t>(index)].mlp.experts_per_row;
  const ExpertChoice choice = choose_experts(index, input);
  const TensorView<float, 2> made = context_.workspace.matrix(expert_out, live_rows_ * chosen, spec_.width), out = matrix(mlp_result, spec_.width);
  for (std::size_t first = 0; first < choice.experts.size();) {
    const std::uint32_t expert = choice.experts[first];
    std::size_t end = first;
    while (end < choice.experts.size() && choice.experts[end] == expert) ++end;
    run_expert({index, static_cast<int>(expert), std::span(choice.taken).subspan(first, end - first)}, input, made.slice(first, end - first));
    first = end;
  }
  context_.ops.mix(made, choice.taken, choice.shares, out);
  return out;
}

}  // namespace vitrine
