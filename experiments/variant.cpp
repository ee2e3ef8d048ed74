#include "experiments/variant.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <random>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/tensor/quantize.h"
#include "core/tensor/sparse_rows.h"
#include "experiments/tuning.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

namespace vitrine {
namespace {

/// The numbers with Gaussian noise as large as the distance to others.
Tensor with_noise(const Tensor& truth, const Tensor& other, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  Tensor noisy(DType::f32, truth.shape());
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < truth.floats().size(); ++i) {
    const double difference = other.floats()[i] - truth.floats()[i];
    error += difference * difference;
    noisy.floats()[i] = normal(random);
    size += static_cast<double>(noisy.floats()[i]) * noisy.floats()[i];
  }
  const auto scale = static_cast<float>(std::sqrt(error / std::max(size, 1e-300)));
  for (std::size_t i = 0; i < truth.floats().size(); ++i) noisy.floats()[i] = truth.floats()[i] + scale * noisy.floats()[i];
  return noisy;
}

}  // namespace

Access AttentionCapture::access(const ProbePoint& point) const {
  const bool threshold = point.site == Site::threshold && rule_.kind == PatternKind::softmax_top_k;
  const bool wanted = point.site == Site::rot_q || point.site == Site::rot_k || point.site == Site::normalizer;
  return wanted || threshold ? Access::read : Access::none;
}

void AttentionCapture::see(const ProbePoint& point, std::span<const RowRef>, TensorView<float, 3> values) {
  Block& block = blocks_[static_cast<std::size_t>(point.block)];
  std::vector<float>& target = point.site == Site::rot_q        ? block.q
                               : point.site == Site::rot_k      ? block.k
                               : point.site == Site::normalizer ? block.normalizer
                                                                : block.threshold;
  const std::size_t before = target.size();
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      for (std::size_t d = 0; d < values.extent(2); ++d) target.push_back(values(r, h, d));
    }
  }
  const bool queries = point.site == Site::rot_q;
  if (!queries && point.site != Site::rot_k) return;
  round_as_multiplied(queries ? kv_format_.queries() : kv_format_, rule_.in_layer(static_cast<std::size_t>(point.block)), ops_, {target.data() + before, values.shape()});
}

std::vector<float> AttentionCapture::map(std::size_t block, std::size_t head, std::size_t tokens) const {
  const AttentionSpec& spec = spec_.blocks[block].attention;
  const Block& kept = blocks_[block];
  const std::size_t kv_head = head / (spec.heads / spec.kv_heads);
  const auto column = [&](const std::vector<float>& values) {
    std::vector<float> numbers;
    for (std::size_t i = head; i < values.size(); i += spec.heads) numbers.push_back(values[i]);
    return numbers;
  };
  const std::vector<float> normalizer = column(kept.normalizer), threshold = column(kept.threshold);
  PatternFactors factors;
  factors.q = {kept.q.data() + head * spec.head_dim, {tokens, spec.head_dim}, {spec.heads * spec.head_dim, 1}};
  factors.k = {kept.k.data() + kv_head * spec.head_dim, {tokens, spec.head_dim}, {spec.kv_heads * spec.head_dim, 1}};
  factors.normalizer = normalizer;
  factors.threshold = threshold;
  factors.rule = rule_of_factors(rule_.in_layer(block), kv_format_);
  factors.score = {.scale = spec.scale, .soft_cap = spec.soft_cap, .mask = spec.mask, .window = spec.window};
  std::vector<float> weights(tokens * tokens);
  pattern_tile(factors, 0, 0, {weights.data(), {tokens, tokens}});
  return weights;
}

Variant::Variant(VariantSpec spec, Model model, ThreadPool& pool)
    : spec_(std::move(spec)), model_(std::move(model)), ops_(make_cpu_ops(spec_.precision, pool)),
      kernel_(choose_tuned_kernel(spec_.kernel, {model_.spec.blocks.front().attention.head_dim, spec_.kv_format.type, spec_.precision}, pool.threads()).choice) {}

Variant::Variant(VariantSpec spec, const Model& base, const ShortcutInputs& inputs, ThreadPool& pool) : Variant(std::move(spec), base, pool) {
  report_ = apply_in_memory(model_, spec_.shortcuts, inputs, ops_);
}

Variant::Output Variant::run(std::span<const TokenId> ids, std::span<Observer* const> more) {
  Output output;
  output.attention = std::make_unique<AttentionCapture>(model_.spec, model_.spec.causal() ? spec_.kv_format : KvFormat{}, ops(),
                                                        kernel_.kernel->rule(kernel_.options));
  std::vector<Observer*> observers(more.begin(), more.end());
  observers.push_back(output.attention.get());
  const TapPlan taps(model_.spec, observers);
  ForwardSinks sinks;
  sinks.logit_rows = model_.spec.has_head ? LogitRows::all : LogitRows::none;
  sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
    output.logits.insert(output.logits.end(), logits.data(), logits.data() + rows.size() * logits.extent(1));
  };
  output.embedding.assign(model_.spec.width, 0.0);
  sinks.hidden = [&](std::span<const RowRef> rows, TensorView<const float, 2> hidden) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t c = 0; c < output.embedding.size(); ++c) output.embedding[c] += hidden(r, c) / static_cast<double>(ids.size());
    }
  };
  KvCache cache(model_.spec, spec_.kv_format);
  const Segment segment{.sequence = 0, .ids = ids, .types = {}, .cache = model_.spec.causal() ? &cache : nullptr};
  forward({model_, ops(), kernel_, workspace_, run_, taps}, {&segment, 1}, sinks);
  return output;
}

Variant::Timing Variant::time(std::span<const TokenId> prompt, std::size_t decode_tokens) {
  const TapPlan taps;
  const ForwardContext context{model_, ops(), kernel_, workspace_, run_, taps};
  const ForwardSinks sinks{.logit_rows = model_.spec.has_head ? LogitRows::last : LogitRows::none};
  KvCache cache(model_.spec, spec_.kv_format);
  Timing timing;
  const auto start = std::chrono::steady_clock::now();
  const Segment segment{.sequence = 0, .ids = prompt, .types = {}, .cache = model_.spec.causal() ? &cache : nullptr};
  forward(context, {&segment, 1}, sinks);
  timing.prefill_seconds = seconds_since(start);
  if (!model_.spec.causal()) return timing;
  const auto decode_start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < decode_tokens; ++i) {
    const Segment next{.sequence = 0, .ids = prompt.subspan(i % prompt.size(), 1), .types = {}, .cache = &cache};
    forward(context, {&next, 1}, sinks);
  }
  timing.decode_seconds = seconds_since(decode_start);
  return timing;
}

bool has_same_heads(const ModelSpec& a, const ModelSpec& b) {
  return std::ranges::equal(a.blocks, b.blocks, {}, [](const BlockSpec& block) { return block.attention.heads; }, [](const BlockSpec& block) { return block.attention.heads; });
}

TextRuns text_runs(const Model& model, std::span<const TokenId> ids, const Variant::Output& reference, const Variant::Output& variant,
                   ThreadPool& pool) {
  std::vector<std::pair<std::size_t, std::size_t>> heads;  // block, head
  for (std::size_t block = 0; block < model.spec.blocks.size(); ++block) {
    for (std::size_t head = 0; head < model.spec.blocks[block].attention.heads; ++head) heads.emplace_back(block, head);
  }
  const std::size_t count = heads.size(), tokens = ids.size();
  const auto maps = [heads = std::move(heads), tokens, &model, &a = *reference.attention, &b = *variant.attention](std::size_t index) -> HeadMaps {
    const auto [block, head] = heads[index];
    return {a.map(block, head, tokens), b.map(block, head, tokens), model.spec.blocks[block].attention.mask == Mask::causal};
  };
  return {ids, {reference.logits, reference.embedding}, {variant.logits, variant.embedding}, count, maps, pool};
}

Model with_weights(const Model& model, DType type, ThreadPool& pool, Run& run) {
  Model result = model;
  for (const WeightKey& key : block_matrices(model)) {
    const Weight& weight = model.weights.at(key);
    const std::string name = matrix_name(key), type_name(dtype_info(type).name);
    if (weight.type == type) {
      throw Error({"--weights " + type_name, "a type that the file does not have already", name + " is " + type_name,
                   "against its own file a type has no error: start from a file of higher precision"}, Fault::usage);
    }
    const Weight rounded = make_weight(round_to(expand(weight), {type, {}, name}, pool, run));
    for (const WeightKey& sharing : sharing_matrix(model, key)) result.weights.put(sharing, rounded);
  }
  return result;
}

Model with_noise_as_far_as(const Model& model, const Model& other, std::uint64_t seed, ThreadPool& pool) {
  std::vector<std::vector<WeightKey>> changed;  // the weights that are one matrix in both models
  std::map<std::pair<const void*, const void*>, std::size_t> places;
  for (const auto& [key, weight] : model.weights.all()) {
    const Weight* of_other = other.weights.find(key);
    if (key.bias || weight.rows < 2 || of_other == nullptr || same_numbers(weight, *of_other)) continue;
    const auto [place, is_new] = places.emplace(std::pair(place_of(weight), place_of(*of_other)), changed.size());
    if (is_new) changed.emplace_back();
    changed[place->second].push_back(key);
  }
  std::vector<Tensor> noisy(changed.size());
  pool.run(changed.size(), [&](std::size_t i, std::size_t) {
    std::seed_seq own{seed, static_cast<std::uint64_t>(i)};
    std::mt19937_64 random(own);
    const WeightKey& key = changed[i].front();
    noisy[i] = with_noise(expand(model.weights.at(key)), expand(other.weights.at(key)), random);
  });
  Model result = model;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    const Weight weight = make_weight(std::move(noisy[i]));
    for (const WeightKey& key : changed[i]) result.weights.put(key, weight);
  }
  return result;
}

}  // namespace vitrine
