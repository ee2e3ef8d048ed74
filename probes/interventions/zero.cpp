#include <algorithm>
#include <cmath>

#include "probes/intervention.h"

// Zero ablation: values become 0. Scores that a mask hides (-inf) stay hidden.

namespace vitrine {
namespace {

class Zero : public PlacedChange {
 public:
  using PlacedChange::PlacedChange;

 private:
  void change(const Row&, std::span<float> values) override {
    for (float& value : values) value = std::isinf(value) ? value : 0.0f;
  }
};

}  // namespace

const Intervention& intervention_zero() {
  static const Intervention intervention{"zero", "values become 0 (zero ablation)", "zero:blocks.3.attn.hook_z:head=5", "", {},
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Zero>(call.spec, call.place); }};
  return intervention;
}

}  // namespace vitrine
