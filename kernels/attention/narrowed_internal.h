#pragma once

#include <algorithm>
#include <new>
#include <type_traits>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

// Kernels that see a part of the keys and compute that part exactly: `flash` on problems whose rule is narrowed.

namespace vitrine {

const AttentionKernel& attention_kernel_flash();

namespace narrowed_flash {

inline std::string refuses(const AttentionProblem& problem, const PatternRule& rule) {
  if (!narrowed(problem.score, rule)) return "a model without a window of its own (two windows with sinks are not one)";
  return attention_kernel_flash().refuses(problem, {});
}

constexpr std::size_t copies_bytes(std::size_t problems) { return (problems * sizeof(AttentionProblem) + 63) / 64 * 64; }

inline std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
  return copies_bytes(problems.size()) + attention_kernel_flash().scratch_bytes(problems, {}, threads);
}

inline void run(const KernelCall& call, const PatternRule& rule) {
  static_assert(std::is_trivially_copyable_v<AttentionProblem>);
  auto* copies = reinterpret_cast<AttentionProblem*>(call.scratch.data());
  for (std::size_t i = 0; i < call.problems.size(); ++i) {
    const AttentionProblem& problem = call.problems[i];
    (new (copies + i) AttentionProblem(problem))->score = narrowed(problem.score, rule).value_or(problem.score);
  }
  static const KernelOptions none;
  attention_kernel_flash().run({{copies, call.problems.size()}, none, call.pool, call.scratch.subspan(copies_bytes(call.problems.size())), call.report});
}

/// The functions of a kernel whose options `rule` reads.
template <PatternRule (*rule)(const KernelOptions&)>
struct Functions {
  static std::string refuses(const AttentionProblem& problem, const KernelOptions& options) {
    return narrowed_flash::refuses(problem, rule(options));
  }
  static void run(const KernelCall& call) { narrowed_flash::run(call, rule(call.options)); }
};

}  // namespace narrowed_flash
}  // namespace vitrine
