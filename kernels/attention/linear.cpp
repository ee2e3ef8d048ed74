#include "kernels/attention/feature_map_internal.h"

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) {
  rule_without_options("linear", options);
  return {.kind = PatternKind::feature_map, .feature = FeatureKind::elu_plus_one};
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) { return feature_map::refuses(problem); }

std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions& options, std::size_t threads) {
  return feature_map::scratch_bytes(problems, rule(options), threads);
}

void run(const KernelCall& call) { feature_map::run(call, rule(call.options)); }

}  // namespace

const AttentionKernel& attention_kernel_linear() {
  static const AttentionKernel kernel{"linear",
                                      "products of elu(x) + 1 in place of the softmax (another function: models must be trained for it)",
                                      "Katharopoulos et al. 2020, arXiv:2006.16236",
                                      "cpu",
                                      1e-4f,
                                      rule,
                                      refuses,
                                      scratch_bytes,
                                      run,
                                      true,
                                      ""};
  return kernel;
}

}  // namespace vitrine
