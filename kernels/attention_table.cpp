#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

/// @throws Error (usage) where an option is given twice
KernelOptions parse_options(std::string_view words) {
  KernelOptions options;
  while (!words.empty()) {
    const std::size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) {
      options.positional.emplace_back(word);
    } else {
      const std::string name(word.substr(0, equals));
      if (!options.named.emplace(name, word.substr(equals + 1)).second) throw Error({"--kernel: " + quoted(name), "once", "twice", ""}, Fault::usage);
    }
    words = comma == std::string_view::npos ? "" : words.substr(comma + 1);
  }
  return options;
}

/// What does not fit to the problem, "" where all does.
std::string misfit(const AttentionProblem& p) {
  const std::size_t heads = p.q.extent(1), dim = p.k.head_dim;
  const DistanceBias& bias = p.score.by_distance;
  const ContentByDistance& content = p.score.content;
  const auto of_heads = [&](const auto& view, std::size_t axis) { return view.extent(axis) == heads && view.extent(axis + 1) == dim; };
  if (!bias.table.empty() && bias.table.extent(0) != heads) return "a row of the bias for each head";
  if (!bias.slope.empty() && bias.slope.size() != heads) return "a slope for each head";
  const BitView& allowed = p.score.allowed;
  if (!allowed.empty() && (allowed.rows != p.q.extent(0) || allowed.columns != p.k.kv_len)) return "a bit for each query and key";
  if (content.empty()) return "";
  if (content.r.stride(2) != 1) return "positions whose numbers lie side by side";
  if (!of_heads(content.r, 1) || !of_heads(content.key_bias, 0) || !of_heads(content.distance_bias, 0)) return "positions and biases for each head";
  if (!content.has_segments()) return "";
  if (content.segment.extent(0) != 2 || !of_heads(content.segment, 1) || !of_heads(content.segment_bias, 0)) return "two segment terms for each head";
  return content.query_segment.size() == p.q.extent(0) && content.key_segment.size() == p.k.kv_len ? "" : "a segment for each query and key";
}

}  // namespace

std::string refuse_terms(const AttentionProblem& problem, KnownTerms known) {
  const ScoreRule& score = problem.score;
  if (known != KnownTerms::all && !score.content.empty()) return "scores without terms of the distance's own (relative positions that meet the query)";
  if (known == KnownTerms::none && !score.by_distance.empty()) return "scores without a bias by distance";
  if (known == KnownTerms::none && !score.allowed.empty()) return "a mask by position alone";
  return misfit(problem);
}

PatternRule rule_without_options(std::string_view kernel, const KernelOptions& options) {
  if (options.positional.empty() && options.named.empty()) return {};
  throw Error({"--kernel " + std::string(kernel), "no options", "some", ""}, Fault::usage);
}

std::string refuse_cache_types(const AttentionProblem& problem, CacheTypes known) {
  if (!problem.score.additive.empty()) return "scores that are products of queries and keys, not additive ones";
  const DType type = problem.k.type;
  const bool plain = type == DType::f32 || type == DType::f16, blocks = type == DType::q8_0 || type == DType::q4_1;
  if (problem.v.type != type || !(plain || blocks)) return "keys and values of one type that a cache can have";
  return plain || known == CacheTypes::blocks_too ? "" : "a cache of f32 or f16 (--kv f32, --kv f16)";
}

std::string refuse_too_many_keys(const AttentionProblem& problem) {
  return problem.k.kv_len < (std::size_t{1} << 24) ? "" : "at most 16777215 keys";
}

std::size_t required_count(std::string_view kernel, const KernelOptions& options, const std::string& name) {
  const auto found = options.named.find(name);
  const std::string text = found == options.named.end() ? "" : found->second;
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size() && count > 0 && count < (std::size_t{1} << 40)) return count;
  throw Error({"--kernel " + std::string(kernel), name + "=N, a whole number from 1", text.empty() ? "none" : quoted(text),
               "for example " + std::string(kernel) + ":" + name + "=256"}, Fault::usage);
}

std::size_t optional_count(std::string_view kernel, const KernelOptions& options, const std::string& name, std::size_t otherwise) {
  return options.named.contains(name) ? required_count(kernel, options, name) : otherwise;
}

void refuse_other_options(std::string_view kernel, const KernelOptions& options, std::span<const std::string_view> known) {
  std::string other = options.positional.empty() ? "" : options.positional.front(), names;
  for (const auto& [name, value] : options.named) {
    if (std::ranges::find(known, name) == known.end()) other = name;
  }
  if (other.empty()) return;
  for (const std::string_view name : known) names += (names.empty() ? "" : ", ") + std::string(name) + "=";
  throw Error({"--kernel " + std::string(kernel), names, quoted(other), ""}, Fault::usage);
}

KernelChoice choose_attention_kernel(std::string_view spelled, Precision precision) {
  const std::size_t colon = spelled.find(':');
  std::string_view name = spelled.substr(0, colon);
  if (name == "auto") name = precision != Precision::exact && has_bf16_products() ? "flash_bf16" : "flash";
  std::string known = "auto";
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    known += ", " + std::string(kernel->name);
    if (kernel->name != name) continue;
    KernelChoice choice{kernel, {}, std::string(spelled)};
    if (colon != std::string_view::npos) choice.options = parse_options(spelled.substr(colon + 1));
    kernel->rule(choice.options);  // refuses bad options now
    return choice;
  }
  throw Error({"--kernel", known, quoted(name), "see `vitrine list kernels`"}, Fault::usage);
}

}  // namespace vitrine
