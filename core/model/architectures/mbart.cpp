#include "core/model/architecture.h"
#include "core/model/bart_layout.h"

namespace vitrine {
namespace {

constexpr BartFamily family{.name = "mbart", .placement = NormPlacement::pre, .embedding_norm = true, .final_norm = true};

ModelSpec describe(const Checkpoint& checkpoint) { return describe_bart_layout(checkpoint, family); }

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) { return bart_layout_tensor(checkpoint, key); }

}  // namespace

const Architecture& architecture_mbart() {
  static const Architecture architecture{"mbart", "mBART: BART with norms before and at the end",
                                         "Liu et al. 2020, arXiv:2001.08210",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "mbart"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
