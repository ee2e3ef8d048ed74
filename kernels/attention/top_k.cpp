// History, causal, k = 12, 9 heads x 64, F32 cache, two threads of Zen 4: 29 ms at 512 tokens, 350 ms at 2,048, 16 and 13 times flash. All
// scores of a query are needed before the k-th largest is known, so that nothing is saved: a row of scores, a selection of the k-th, a
// softmax over those above it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/score_rows_internal.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/top_k.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"
#include "kernels/attention/score_rows-inl.h"

// Which keys count is decided on scores that are exact up to one rounding to f32, bit for bit those of `score_tile`: with
// products in f32 a tile that is rebuilt later would now and then show another key than the one that was used.

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

using Doubles = hn::CappedTag<double, 8>;
constexpr std::size_t sum_count = 8, double_lanes = hn::MaxLanes(Doubles()), vectors = sum_count / double_lanes;

/// The sum over lanes, the upper half onto the lower one until one is left.
template <class D>
HWY_INLINE double folded_halves([[maybe_unused]] D d, hn::Vec<D> sums) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(d) > 1) {
    const hn::Half<D> half;
    return folded_halves(half, hn::Add(hn::LowerHalf(half, sums), hn::UpperHalf(half, sums)));
  }
#endif
  return hn::GetLane(sums);
}

struct LargestScores {
  using Number = double;
  std::size_t k;

  void prepare(const float* x, std::size_t count, double* out) const { std::copy_n(x, count, out); }

  /// exact_product's sums in its order; count is a multiple of eight.
  HWY_INLINE double product(const double* q, const double* key, std::size_t count) const {
    const Doubles f;
    hn::Vec<Doubles> sums[vectors];
    VITRINE_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) sums[v] = hn::Zero(f);
    for (std::size_t d = 0; d < count; d += sum_count) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t at = d + v * double_lanes;
        sums[v] = hn::MulAdd(hn::Load(f, q + at), hn::Load(f, key + at), sums[v]);
      }
    }
    VITRINE_UNROLL
    for (std::size_t half = vectors / 2; half > 0; half /= 2) {
      VITRINE_UNROLL
      for (std::size_t v = 0; v < half; ++v) sums[v] = hn::Add(sums[v], sums[v + half]);
    }
    return folded_halves(f, sums[0]);
  }

  void finish_row(const RowPlace& place, const SeenKeys& seen, float* sorted) const {
    std::size_t count = 0;
    for (std::size_t j = 0; j < std::max(seen.sinks, seen.end); ++j) {
      if (seen.sees(j) && !(place.scores[j] == masked)) sorted[count++] = place.scores[j];
    }
    const float threshold = top_k_threshold(k, {sorted, count});
    for (std::size_t j = 0; j < place.problem.k.kv_len; ++j) {
      if (place.scores[j] < threshold) place.scores[j] = masked;
    }
    if (!place.problem.threshold.empty()) place.problem.threshold(place.row, place.head) = threshold;
  }
};

void run_piece(const Piece& piece, std::size_t k, float* scratch) {
  run_score_rows(piece, scratch, LargestScores{k});
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(run_piece);

PatternRule rule(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"k"};
  refuse_other_options("top_k", options, known);
  return {.kind = PatternKind::softmax_top_k, .top_k = required_count("top_k", options, "k")};
}

void run(const KernelCall& call) {
  const std::size_t k = rule(call.options).top_k;
  score_rows::for_pieces<double>(call, [k](const score_rows::Piece& piece, float* scratch) {
    HWY_DYNAMIC_DISPATCH(run_piece)(piece, k, scratch);
  });
}

}  // namespace

const AttentionKernel& attention_kernel_top_k() {
  static const AttentionKernel kernel{
      "top_k",
      "only the k largest scores of a row, those equal to the last one included: top_k:k=32 (an approximation of a model that sees all)",
      "Gupta et al. 2021, arXiv:2106.06899",
      "cpu",
      1e-5f,
      rule,
      [](const AttentionProblem& problem, const KernelOptions&) {
        std::string reason = refuse_cache_types(problem);
        if (reason.empty()) reason = refuse_terms(problem, KnownTerms::biases);
        return reason.empty() ? refuse_too_many_keys(problem) : reason;
      },
      [](std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
        return score_rows::scratch_bytes<double>(problems, threads);
      },
      run,
      true,
      "k=12"};
  return kernel;
}

}  // namespace vitrine
#endif
