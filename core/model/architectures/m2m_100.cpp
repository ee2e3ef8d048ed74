#include "core/model/architecture.h"
#include "core/model/bart_layout.h"

namespace vitrine {
namespace {

constexpr BartFamily family{.name = "m2m_100", .placement = NormPlacement::pre, .final_norm = true, .positions = PositionTable::sines_to_end,
                            .skips_padding = true, .activation = "relu", .scales_embedding = true};

ModelSpec describe(const Checkpoint& checkpoint) { return describe_bart_layout(checkpoint, family); }

TensorRule tensor(const Checkpoint& checkpoint, const ModelSpec&, const WeightKey& key) { return bart_layout_tensor(checkpoint, key); }

}  // namespace

const Architecture& architecture_m2m_100() {
  static const Architecture architecture{"m2m_100", "M2M100 and NLLB: mBART with sines that skip padding",
                                         "Fan et al. 2020, arXiv:2010.11125; NLLB Team 2022, arXiv:2207.04672",
                                         [](const Checkpoint& c) { return c.format != "gguf" && model_type(c) == "m2m_100"; }, describe, tensor};
  return architecture;
}

}  // namespace vitrine
