#include "core/decode/generate.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// A uniform number in [0, 1) from seed and step alone (SplitMix64, Steele et al. 2014), so that a text does not depend
/// on what else was drawn.
double uniform(std::uint64_t seed, std::uint64_t step) {
  std::uint64_t x = seed + (step + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

/// Chooses as the options say.
/// @param logits  [vocabulary], those of suppressed tokens are lost
GeneratedToken choose(const ForwardContext& context, const GenerateOptions& options, std::span<float> logits, std::size_t made) {
  GeneratedToken next;
  const std::optional<TokenId> forced = made == 0 && options.forced_first ? options.forced_first
                                        : made + 1 == options.max_tokens  ? options.forced_last
                                                                          : std::nullopt;
  if (forced) {
    next.id = *forced;
    next.log_probability = context.ops.log_probability(logits, static_cast<std::size_t>(next.id));
    return next;
  }
  if (options.suppressed.empty() && (made > 0 || options.suppressed_first.empty())) {
    next.id = options.strategy->choose(logits, options.sampling, uniform(options.sampling.seed, made));
    next.log_probability = context.ops.log_probability(logits, static_cast<std::size_t>(next.id));
    return next;
  }
  const float one = logits.front();
  const double log_sum = one - context.ops.log_probability(logits, 0);  // of the model's own distribution
  const auto hide = [&](const std::vector<TokenId>& ids) {
    for (const TokenId id : ids) logits[static_cast<std::size_t>(id)] = -std::numeric_limits<float>::infinity();
  };
  hide(options.suppressed);
  if (made == 0) hide(options.suppressed_first);
  next.id = options.strategy->choose(logits, options.sampling, uniform(options.sampling.seed, made));
  next.log_probability = logits[static_cast<std::size_t>(next.id)] - log_sum;
  return next;
}

}  // namespace

std::vector<GeneratedToken> generate(const ForwardContext& context, const TextCaches& caches, std::span<const TokenId> prompt,
                                     const GenerateOptions& options,
                                     const std::function<void(const GeneratedToken&)>& on_token) {
  VITRINE_CHECK(options.strategy != nullptr && !prompt.empty());
  const std::size_t context_length = context.model.spec.context;
  std::vector<GeneratedToken> tokens;
  GeneratedToken next;
  const ForwardSinks sinks{.logit_rows = LogitRows::last,
                           .logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
                             next = choose(context, options, {&logits(rows.size() - 1, 0), logits.extent(1)}, tokens.size());
                           }};
  std::vector<TokenId> fed(prompt.begin(), prompt.end());
  while (tokens.size() < options.max_tokens) {
    if (context_length > 0 && caches.own.length() + fed.size() > context_length && !tokens.empty()) break;
    const Segment segment{.ids = fed, .cache = &caches.own, .memory = caches.source};
    forward(context, {&segment, 1}, sinks);
    if (std::find(options.stop.begin(), options.stop.end(), next.id) != options.stop.end()) break;
    tokens.push_back(next);
    if (on_token) on_token(next);
    fed.assign(1, next.id);
    context.run.step("generate", tokens.size(), options.max_tokens);
  }
  return tokens;
}

}  // namespace vitrine
