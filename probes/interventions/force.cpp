#include <algorithm>

#include "core/base/error.h"
#include "probes/intervention.h"

// Forces a pattern: weights of a row become all on one key - the row's own, the one before it, the first - or the same for all visible keys.
// A row without a key before it keeps its own.

namespace vitrine {
namespace {

class Force : public PlacedChange {
 public:
  explicit Force(const InterventionCall& call) : PlacedChange(call.spec, call.place), shape_(call.text("shape")) {
    if (shape_ != "self" && shape_ != "previous" && shape_ != "first" && shape_ != "uniform") {
      throw Error({"--intervene force, shape", "self, previous, first or uniform", quoted(shape_), ""}, Fault::usage);
    }
    for (const ProbePoint& point : call.place.points) {
      if (point.site != Site::pattern || point.role == AttentionRole::cross) throw Error({"--intervene force", "pattern, of a text that looks at itself", point_name(point), ""}, Fault::usage);
    }
  }

 private:
  void change(const Row& row, std::span<float> values) override {
    if (shape_ == "uniform") {
      std::ranges::fill(values, 1.0f / static_cast<float>(values.size()));
      return;
    }
    const std::size_t own = row.ref.position, key = shape_ == "first" ? 0 : shape_ == "self" || own == 0 ? own : own - 1;
    std::ranges::fill(values, 0.0f);
    if (key < values.size()) values[key] = 1.0f;
  }

  std::string shape_;
};

}  // namespace

const Intervention& intervention_force() {
  static constexpr std::string_view keys[] = {"shape"};
  static const Intervention intervention{"force", "weights become a given pattern", "force:blocks.2.attn.hook_pattern:shape=previous,head=1", "", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Force>(call); }};
  return intervention;
}

}  // namespace vitrine
