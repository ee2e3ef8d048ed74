#include "core/decode/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// Numbers only, so that samplers need not ask: what is none cannot be chosen, infinity is the largest there is.
void make_numbers(std::span<float> scores) {
  constexpr float largest = std::numeric_limits<float>::max();
  for (float& score : scores) {
    const float number = score == score ? score : never_chosen;
    score = number > largest ? largest : number;
  }
}

const SamplerKind* sampler_named(std::string_view name) {
  const auto all = all_samplers();
  const auto found = std::ranges::find(all, name, [](const SamplerKind* kind) { return kind->name; });
  return found == all.end() ? nullptr : *found;
}

std::string names_of(std::span<const SamplerKind* const> kinds) {
  std::string names;
  for (const SamplerKind* kind : kinds) names += (names.empty() ? "" : ",") + std::string(kind->name);
  return names;
}

std::vector<const SamplerKind*> default_order() {
  const auto all = all_samplers();
  std::vector<const SamplerKind*> order(all.begin(), all.end());
  std::ranges::stable_sort(order, [](const SamplerKind* a, const SamplerKind* b) { return std::pair(a->role, a->place) < std::pair(b->role, b->place); });
  return order;
}

bool hears(const SamplerKind* kind, std::string_view option) {
  return std::ranges::any_of(kind->options, [&](const DecodeOption& known) { return known.name == option; });
}

/// Nothing that was asked for is left out in silence.
void require_heard(std::span<const SamplerKind* const> order, const DecodeValues& values) {
  for (const std::string& name : values.names()) {
    const auto hears_it = [&](const SamplerKind* kind) { return hears(kind, name); };
    if (std::ranges::any_of(order, hears_it)) continue;
    const auto all = all_samplers();
    const auto owner = std::ranges::find_if(all, hears_it);
    if (owner == all.end()) continue;  // a search's
    throw Error({"--" + name, "its sampler, " + std::string((*owner)->name) + ", in --samplers", names_of(order), ""}, Fault::usage);
  }
}

/// An option that only says how its sampler works has no effect where nothing turned the sampler on.
void require_made(std::span<const SamplerKind* const> order, std::span<const SamplerKind* const> made, const DecodeValues& values) {
  for (const std::string& name : values.names()) {
    const auto hears_it = [&](const SamplerKind* kind) { return hears(kind, name); };
    const auto owner = std::ranges::find_if(order, hears_it);
    if (owner == order.end() || (*owner)->options.front().name == name || std::ranges::any_of(made, hears_it)) continue;
    const DecodeOption& option = *std::ranges::find((*owner)->options, name, &DecodeOption::name);
    if (option.kind != OptionKind::text && values.number(option) == option.fallback) continue;
    std::string switches;
    for (const SamplerKind* kind : order) {
      if (hears_it(kind)) switches += (switches.empty() ? "--" : " or --") + std::string(kind->options.front().name);
    }
    throw Error({"--" + name, switches + " beside it", "none that changes anything", ""}, Fault::usage);
  }
}

}  // namespace

double Draws::number(std::uint64_t step, std::uint64_t stream) const {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;
  std::uint64_t x = seed;
  for (const std::uint64_t part : {text, step, stream}) x = mixed(x + (part + 1) * golden);
  return static_cast<double>(x >> 11) * 0x1p-53;
}

SamplerChain SamplerChain::copy() const {
  SamplerChain chain;
  for (const auto& sampler : samplers_) chain.add(sampler->clone());
  return chain;
}

void SamplerChain::apply(std::span<float> scores, const TextSoFar& text) {
  make_numbers(scores);
  for (const auto& sampler : samplers_) sampler->apply(scores, text);
  if (highest(scores) > never_chosen) return;
  throw Error({"token " + std::to_string(text.made.size()) + " (counted from 0)", "at least one token that may be said", "none",
               samplers_.empty() ? "look at the model's logits" : "the rules together forbid every token: take one away"});
}

void SamplerChain::chosen(TokenId id, std::span<const float> scores) {
  for (const auto& sampler : samplers_) sampler->chosen(id, scores);
}

std::span<const SamplerOrder> known_orders() {
  static constexpr std::array<SamplerOrder, 2> orders{{
      {"transformers", "encoder_repetition_penalty,repetition_penalty,length_decay,temperature,top_h,top_k,top_p,min_p,typical,epsilon,eta"},
      {"llama.cpp", "repetition_penalty,frequency_penalty,presence_penalty,dry,top_n_sigma,top_k,typical,top_p,min_p,xtc,temperature,mirostat"},
  }};
  return orders;
}

std::vector<const SamplerKind*> sampler_order(std::string_view words) {
  std::vector<const SamplerKind*> order = default_order();
  if (words.empty()) return order;
  for (const SamplerOrder& known : known_orders()) {
    if (known.name == words) words = known.samplers;
  }
  std::vector<const SamplerKind*> named;
  for (bool more = true; more;) {
    const std::size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    const SamplerKind* kind = sampler_named(word);
    if (!kind) throw Error({"--samplers", "transformers, llama.cpp, or some of " + names_of(order) + " with commas between them", quoted(word, 40), ""}, Fault::usage);
    if (std::ranges::find(named, kind) != named.end()) throw Error({"--samplers", "each name once", quoted(word, 40) + " twice", ""}, Fault::usage);
    named.push_back(kind);
    more = comma != std::string_view::npos;
    if (more) words.remove_prefix(comma + 1);
  }
  std::erase_if(order, [&](const SamplerKind* kind) { return kind->role != SamplerRole::rule || std::ranges::find(named, kind) != named.end(); });
  order.insert(order.end(), named.begin(), named.end());
  return order;
}

SamplerChain make_chain(std::span<const SamplerKind* const> order, const DecodeValues& values, const SamplerModel& model) {
  require_heard(order, values);
  SamplerChain chain;
  std::vector<const SamplerKind*> made;
  for (const SamplerKind* kind : order) {
    if (auto sampler = kind->make(values, model)) {
      chain.add(std::move(sampler));
      made.push_back(kind);
    }
  }
  require_made(order, made, values);
  return chain;
}

}  // namespace vitrine
