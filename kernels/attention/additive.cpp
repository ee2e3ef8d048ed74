// History, causal, 9 heads x 64, F32 cache, two threads of Zen 4: 32 ms at 512 tokens, 526 ms at 2,048, 18 and 19 times flash: a tanh for
// each number of each pair of rows, where a product has one multiplication. Rows of scores at once, so that the tanh fills vectors.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/score_rows_internal.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/additive.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"
#include "kernels/attention/score_rows-inl.h"

// A hyperbolic tangent for every query, key and number of them: nothing here is a matrix product.

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

struct AdditiveScores {
  using Number = float;
  const ScoreRule& rule;

  void prepare(const float* x, std::size_t count, float* out) const { std::copy_n(x, count, out); }

  HWY_INLINE double product(const float* q, const float* key, std::size_t count) const {
    const Lanes f;
    Vector sum = hn::Zero(f);
    for (std::size_t d = 0; d < count; d += lanes) {
      const std::size_t left = rule.additive.size() - std::min(d, rule.additive.size());
      const Vector weight = left >= lanes ? hn::LoadU(f, rule.additive.data() + d) : tail(d, left);
      sum = hn::MulAdd(weight, hn::Tanh(f, hn::Add(hn::Load(f, q + d), hn::Load(f, key + d))), sum);
    }
    return static_cast<double>(hn::GetLane(hn::SumOfLanes(f, sum)));
  }

  void finish_row(const RowPlace&, const SeenKeys&, float*) const {}

 private:
  /// The last numbers of v, zero behind them.
  HWY_INLINE Vector tail(std::size_t first, std::size_t count) const {
    alignas(64) float numbers[lanes] = {};
    std::copy_n(rule.additive.data() + first, count, numbers);
    return hn::Load(Lanes(), numbers);
  }
};

void run_piece(const Piece& piece, float* scratch) { run_score_rows(piece, scratch, AdditiveScores{piece.problem->score}); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace {

HWY_EXPORT(run_piece);

PatternRule rule(const KernelOptions& options) {
  rule_without_options("additive", options);
  return {.kind = PatternKind::additive};
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  if (problem.score.additive.size() != problem.k.head_dim) return "scores v . tanh(q + k) of a model that learned such a v";
  AttentionProblem other = problem;
  other.score.additive = {};
  std::string reason = refuse_cache_types(other);
  if (reason.empty()) reason = refuse_terms(problem, KnownTerms::biases);
  return reason.empty() ? refuse_too_many_keys(problem) : reason;
}

void run(const KernelCall& call) {
  score_rows::for_pieces<float>(
      call, [](const score_rows::Piece& piece, float* scratch) { HWY_DYNAMIC_DISPATCH(run_piece)(piece, scratch); });
}

}  // namespace

const AttentionKernel& attention_kernel_additive() {
  static const AttentionKernel kernel{"additive",
                                      "scores v . tanh(q + k), for models that learned such a v",
                                      "Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2",
                                      "cpu",
                                      1e-5f,
                                      rule,
                                      refuses,
                                      [](std::span<const AttentionProblem> problems, const KernelOptions&, std::size_t threads) {
                                        return score_rows::scratch_bytes<float>(problems, threads);
                                      },
                                      run};
  return kernel;
}

}  // namespace vitrine
#endif
