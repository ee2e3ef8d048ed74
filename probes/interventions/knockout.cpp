#include <limits>

#include "core/base/error.h"
#include "probes/intervention.h"

// Knocks out edges of attention: scores of the named keys become -inf before the softmax, so that the others share their weight
// (Geva et al. 2023, attention knockout). position=... are the queries.

namespace vitrine {
namespace {

class Knockout : public PlacedChange {
 public:
  explicit Knockout(const InterventionCall& call) : PlacedChange(call.spec, call.place), keys_(call.list("key")) {
    if (keys_.empty()) throw Error({"--intervene knockout", "key=... positions that are not to be seen", "none", ""}, Fault::usage);
    for (const ProbePoint& point : call.place.points) {
      if (point.site != Site::attn_scores) throw Error({"--intervene knockout", "scores", point_name(point), ""}, Fault::usage);
    }
  }

 private:
  void change(const Row&, std::span<float> values) override {
    for (const std::size_t key : keys_) {
      if (key < values.size()) values[key] = -std::numeric_limits<float>::infinity();
    }
  }

  std::vector<std::size_t> keys_;
};

}  // namespace

const Intervention& intervention_knockout() {
  static constexpr std::string_view keys[] = {"key"};
  static const Intervention intervention{"knockout", "keys are hidden from queries before the softmax", "knockout:scores:key=0+4,position=7", "scores", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Knockout>(call); }};
  return intervention;
}

}  // namespace vitrine
