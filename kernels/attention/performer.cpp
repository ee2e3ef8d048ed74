#include "kernels/attention/feature_map_internal.h"

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"features", "seed"};
  refuse_other_options("performer", options, known);
  const bool seeded = options.named.contains("seed");
  return {.kind = PatternKind::feature_map,
          .feature = FeatureKind::favor,
          .features = required_count("performer", options, "features"),
          .seed = seeded ? required_count("performer", options, "seed") : 1};
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) { return feature_map::refuses(problem); }

std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions& options, std::size_t threads) {
  return feature_map::scratch_bytes(problems, rule(options), threads);
}

void run(const KernelCall& call) { feature_map::run(call, rule(call.options)); }

}  // namespace

const AttentionKernel& attention_kernel_performer() {
  static const AttentionKernel kernel{"performer",
                                      "random positive features (FAVOR+) that estimate the softmax: performer:features=256[,seed=1]",
                                      "Choromanski et al. 2021, arXiv:2009.14794",
                                      "cpu",
                                      1e-4f,
                                      rule,
                                      refuses,
                                      scratch_bytes,
                                      run,
                                      true,
                                      "features=48"};
  return kernel;
}

}  // namespace vitrine
