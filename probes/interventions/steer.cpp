#include "core/base/error.h"
#include "probes/intervention.h"
#include "probes/steering/control_vector.h"

// Steering: adds scale times the direction of a control vector (llama.cpp's GGUF) to what a block hands on. Blocks for which the file has no
// direction are left as they are.

namespace vitrine {
namespace {

class Steer : public PlacedChange {
 public:
  explicit Steer(const InterventionCall& call)
      : PlacedChange(call.spec, call.place), vector_(read_control_vector(call.text("vector"))), scale_(static_cast<float>(call.number("scale", 1.0))) {
    for (const auto& [block, direction] : vector_.directions) {
      if (direction.size() != call.spec.width || block >= call.spec.blocks.size()) {
        throw Error({call.text("vector"), "directions of " + std::to_string(call.spec.width) + " numbers for at most " + std::to_string(call.spec.blocks.size()) + " blocks",
                     std::to_string(direction.size()) + " numbers for block " + std::to_string(block), "use a vector that was made for this model"});
      }
    }
  }

 private:
  void change(const Row& row, std::span<float> values) override {
    const auto found = vector_.directions.find(static_cast<std::size_t>(row.point.block));
    if (found == vector_.directions.end()) return;
    if (values.size() != found->second.size()) throw Error({"--intervene steer", "a point of the residual stream", point_name(row.point), ""}, Fault::usage);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += scale_ * found->second[i];
  }

  ControlVector vector_;
  float scale_;
};

}  // namespace

const Intervention& intervention_steer() {
  static constexpr std::string_view keys[] = {"vector", "scale"};
  static const Intervention intervention{"steer", "directions of a control vector are added to the residual stream", "steer:vector=happy.gguf,scale=0.8", "resid_post", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Steer>(call); }};
  return intervention;
}

}  // namespace vitrine
