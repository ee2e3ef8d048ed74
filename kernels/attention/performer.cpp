#include "kernels/attention/feature_map_internal.h"

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"features", "seed"};
  refuse_other_options("performer", options, known);
  return {.kind = PatternKind::feature_map,
          .feature = FeatureKind::favor,
          .features = required_count("performer", options, "features"),
          .seed = optional_count("performer", options, "seed", 1)};
}

using Functions = feature_map::Functions<rule>;

}  // namespace

const AttentionKernel& attention_kernel_performer() {
  static const AttentionKernel kernel{"performer",
                                      "random positive features (FAVOR+) that estimate the softmax: performer:features=256[,seed=1]",
                                      "Choromanski et al. 2021, arXiv:2009.14794",
                                      "cpu",
                                      1e-4f,
                                      rule,
                                      Functions::refuses,
                                      Functions::scratch_bytes,
                                      Functions::run,
                                      true,
                                      "features=48"};
  return kernel;
}

}  // namespace vitrine
