#include <algorithm>

#include "kernels/pattern/random.h"
#include "probes/intervention.h"
#include "probes/recorded_values.h"

// Resample ablation (Chan et al. 2022, causal scrubbing): values become those of a row drawn from a recording. All points and heads of a
// row take theirs from one drawn row, chosen by the seed, the sequence and the position alone.

namespace vitrine {
namespace {

class Resample : public PlacedChange {
 public:
  explicit Resample(const InterventionCall& call) : PlacedChange(call.spec, call.place), values_(call.spec, call.text("from"), call.place.points), seed_(call.seed) {}

 private:
  void change(const Row& row, std::span<float> values) override {
    const std::uint64_t lot = scrambled(scrambled(seed_ + scramble_step * (row.ref.sequence + 1)) + scramble_step * (row.ref.position + 1));
    std::ranges::copy(values_.row(row.point, lot % values_.rows(row.point), row.head), values.begin());
  }

  RecordedValues values_;
  std::uint64_t seed_;
};

}  // namespace

const Intervention& intervention_resample() {
  static constexpr std::string_view keys[] = {"from"};
  static const Intervention intervention{"resample", "values become those of rows drawn from a recording (--seed)", "resample:z:from=run.h5,head=2", "", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Resample>(call); }};
  return intervention;
}

}  // namespace vitrine
