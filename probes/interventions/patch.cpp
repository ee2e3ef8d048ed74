#include <algorithm>

#include "core/base/error.h"
#include "probes/intervention.h"
#include "probes/recorded_values.h"

// Patching: the values of a row become those of the row at the same position of a sequence of a recording. A row that the sequence does
// not have is an error, never a row left as it was.

namespace vitrine {
namespace {

class Patch : public PlacedChange {
 public:
  explicit Patch(const InterventionCall& call)
      : PlacedChange(call.spec, call.place), values_(call.spec, call.text("from"), call.place.points), sequence_(call.values.contains("sequence") ? call.whole("sequence") : 0) {
    for (const ProbePoint& point : call.place.points) values_.rows_of(sequence_, point);
  }

 private:
  void change(const Row& row, std::span<float> values) override {
    const Recording::Rows rows = values_.rows_of(sequence_, row.point);
    if (row.ref.position >= rows.count) {
      throw Error({"--intervene patch", "a position that sequence " + std::to_string(sequence_) + " of " + values_.path().string() + " has: 0 to " + std::to_string(rows.count - 1),
                   std::to_string(row.ref.position), "choose positions with position=..., or record a text as long"}, Fault::usage);
    }
    std::ranges::copy(values_.row(row.point, rows.begin + row.ref.position, row.head), values.begin());
  }

  RecordedValues values_;
  std::size_t sequence_;
};

}  // namespace

const Intervention& intervention_patch() {
  static constexpr std::string_view keys[] = {"from", "sequence"};
  static const Intervention intervention{"patch", "values become those of a recording at the same positions", "patch:resid_pre:from=run.h5,position=4", "", keys,
                                         [](const InterventionCall& call) -> std::unique_ptr<Observer> { return std::make_unique<Patch>(call); }};
  return intervention;
}

}  // namespace vitrine
