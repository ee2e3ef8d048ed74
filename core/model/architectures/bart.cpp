#include "core/model/architecture.h"
#include "core/model/bart_layout.h"

namespace vitrine {
namespace {

constexpr BartFamily family{.name = "bart", .embedding_norm = true};

ModelSpec describe(const Checkpoint& checkpoint) { return describe_bart_layout(checkpoint, family); }

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) { return bart_layout_tensor(checkpoint, key); }

}  // namespace

const Architecture& architecture_bart() {
  static const Architecture architecture{"bart", "BART: an encoder-decoder with norms behind, learned positions",
                                         "Lewis et al. 2019, arXiv:1910.13461",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "bart"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
