#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/attention.h"
#include "core/model/ops.h"

namespace vitrine {

/// The table of attention kernels, sorted by name.
std::span<const AttentionKernel* const> all_attention_kernels();

/// "flash", "check:flash,reference", "auto" (the fastest kernel that is as exact as the precision asks for).
/// @throws Error (usage) listing those there are
KernelChoice choose_attention_kernel(std::string_view spelled, Precision precision = Precision::exact);

/// Plain softmax, the rule of a kernel that has no options. @throws Error (usage) where the user gave some
PatternRule rule_without_options(std::string_view kernel, const KernelOptions& options);

enum class CacheTypes { plain, blocks_too };  ///< F32 and F16; quantised caches besides
/// Why a kernel that reads `known`, and multiplies queries by keys, cannot do this problem; empty where it can.
std::string refuse_cache_types(const AttentionProblem& problem, CacheTypes known = CacheTypes::plain);

/// What of a ScoreRule besides mask, window and cap a kernel knows.
enum class KnownTerms {
  none,
  biases,  ///< by_distance, allowed
  all,     ///< content besides
};
/// Why a kernel cannot do this problem's biases and allowed keys, or why nobody can (sizes that do not fit); empty where it can.
std::string refuse_terms(const AttentionProblem& problem, KnownTerms known);

/// Why a kernel that counts keys in f32 cannot do this problem: from 2^24 on f32 does not tell neighbours apart. Empty where
/// it can.
std::string refuse_too_many_keys(const AttentionProblem& problem);

/// A whole number from 1 that must be given, as --kernel NAME:window=256. @throws Error (usage)
std::size_t required_count(std::string_view kernel, const KernelOptions& options, const std::string& name);
/// The same, `otherwise` where it is not given.
std::size_t optional_count(std::string_view kernel, const KernelOptions& options, const std::string& name, std::size_t otherwise);
/// @throws Error (usage) where an option is given that is none of `known`, or one without a name
void refuse_other_options(std::string_view kernel, const KernelOptions& options, std::span<const std::string_view> known);

/// Why no CUDA kernel can run: the build has none, or the machine no device. Empty where one can.
std::string cuda_missing();

/// The largest relative difference that `check:A,B` has seen in this process.
double largest_checked_difference();

/// To be run once on every thread of the pool before anything else: keeps oneDNN's OpenMP at one thread.
void initialize_worker();

/// Instruction sets this build has and this CPU can run, best first ("AVX3_ZEN4", "AVX2", ...).
std::vector<std::string> simd_targets();
/// Restricts Highway's dispatch and oneDNN's to `target` ("auto" = best); once a process, before any work.
/// @throws Error (usage) listing those there are
void choose_simd(std::string_view target);
/// The one in use.
std::string simd_in_use();
/// Whether products of many rows are made in bfloat16 where precision allows it: the CPU can and --simd does not forbid it.
bool has_bf16_products();
/// The same for products in 8 bits (--precision int8).
bool has_int8_products();

/// The arithmetic on this CPU. `pool` must have been made with initialize_worker and outlive the result.
std::unique_ptr<Ops> make_cpu_ops(Precision precision, ThreadPool& pool);

}  // namespace vitrine
