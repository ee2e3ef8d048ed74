// History, causal, features = 48, 9 heads x 64, F32 cache, two threads of Zen 4: 17 ms at 512 tokens, 80 ms at 2,048, 10 and 3 times flash.
// Time grows with the text times the features.
#include "core/base/error.h"
#include "kernels/attention/feature_map_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_features = 65536;  // a thousand times a head's numbers: more than the map itself costs

PatternRule rule(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"features", "seed"};
  refuse_other_options("performer", options, known);
  const std::size_t features = required_count("performer", options, "features");
  if (features > most_features) {
    throw Error({"--kernel performer:features", "at most " + std::to_string(most_features), std::to_string(features), ""}, Fault::usage);
  }
  return {.kind = PatternKind::feature_map,
          .feature = FeatureKind::favor,
          .features = features,
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
