#include "core/model/architecture.h"
#include "core/model/bart_layout.h"

namespace vitrine {
namespace {

constexpr BartFamily family{.name = "marian", .positions = PositionTable::sines};

ModelSpec describe(const Checkpoint& checkpoint) { return describe_bart_layout(checkpoint, family); }

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) { return bart_layout_tensor(checkpoint, key); }

}  // namespace

const Architecture& architecture_marian() {
  static const Architecture architecture{"marian", "Marian translation models: BART with sines for positions",
                                         "Junczys-Dowmunt et al. 2018, arXiv:1804.00344",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "marian"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
