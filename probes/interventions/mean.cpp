#include <algorithm>

#include "probes/intervention.h"
#include "probes/recorded_values.h"

// Mean ablation: values become the mean of the point over all rows of a recording, head by head.

namespace vitrine {
namespace {

class Mean : public PlacedChange {
 public:
  explicit Mean(const InterventionCall& call) : PlacedChange(call.spec, call.place), values_(call.spec, call.text("from"), call.place.points) {}

 private:
  void change(const Row& row, std::span<float> values) override { std::ranges::copy(values_.mean(row.point, row.head), values.begin()); }

  RecordedValues values_;
};

}  // namespace

const Intervention& intervention_mean() {
  static constexpr std::string_view keys[] = {"from"};
  static const Intervention intervention{"mean", "values become their mean over a recording (mean ablation)", "mean:mlp_out:from=run.h5", "", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Mean>(call); }};
  return intervention;
}

}  // namespace vitrine
