// History, causal, 9 heads x 64, F32 cache, two threads of Zen 4: 11 ms at 512 tokens, 41 ms at 2,048, 6 and 1.5 times flash. Time grows with the
// text, not with its square: by these two it meets flash near 3,000 tokens.
#include "kernels/attention/feature_map_internal.h"

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) {
  rule_without_options("linear", options);
  return {.kind = PatternKind::feature_map, .feature = FeatureKind::elu_plus_one};
}

using Functions = feature_map::Functions<rule>;

}  // namespace

const AttentionKernel& attention_kernel_linear() {
  static const AttentionKernel kernel{"linear",
                                      "products of elu(x) + 1 in place of the softmax (another function: models must be trained for it)",
                                      "Katharopoulos et al. 2020, arXiv:2006.16236",
                                      "cpu",
                                      1e-4f,
                                      rule,
                                      Functions::refuses,
                                      Functions::scratch_bytes,
                                      Functions::run,
                                      true,
                                      ""};
  return kernel;
}

}  // namespace vitrine
