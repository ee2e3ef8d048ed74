// History, causal, sinks = 3, window = 20, 9 heads x 64, F32 cache, two threads of Zen 4: 0.73 ms at 512 tokens, 7.0 ms at 2,048, 0.41 and 0.25
// of flash: a sliding window and one more block of keys for the sinks.
#include "kernels/attention/narrowed_internal.h"

// Positions stay those of the whole text: the paper renumbers them inside its cache, which a model without a cache limit
// does not need. What is the same is the set of keys that a query sees.

namespace vitrine {
namespace {

PatternRule rule(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"sinks", "window"};
  refuse_other_options("streaming", options, known);
  return {.window = required_count("streaming", options, "window"), .sinks = required_count("streaming", options, "sinks")};
}

using Functions = narrowed_flash::Functions<rule>;

}  // namespace

const AttentionKernel& attention_kernel_streaming() {
  static const AttentionKernel kernel{"streaming",
                                      "the first keys and the last ones: streaming:sinks=4,window=256 (an approximation of a model that sees all)",
                                      "Xiao et al. 2023, arXiv:2309.17453",
                                      "cpu",
                                      1e-5f,
                                      rule,
                                      Functions::refuses,
                                      narrowed_flash::scratch_bytes,
                                      Functions::run,
                                      true,
                                      "sinks=3,window=20"};
  return kernel;
}

}  // namespace vitrine
