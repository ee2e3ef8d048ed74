#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/model/probe_point.h"
#include "probes/recording.h"

namespace vitrine {

/// Values of some points of a recording, held in memory: what interventions put in the place of a run's own.
class RecordedValues {
 public:
  /// @throws Error where the file is no recording of a model of this shape, or does not hold a point
  RecordedValues(const ModelSpec& spec, const std::filesystem::path& path, std::span<const ProbePoint> points);
  ~RecordedValues();

  /// All rows of all sequences of the text's side.
  std::size_t rows(const ProbePoint& point) const;
  /// @param row  in the concatenated rows.  [width]
  std::span<const float> row(const ProbePoint& point, std::size_t row, std::size_t head) const;
  /// The mean over all rows.  [width]
  std::span<const float> mean(const ProbePoint& point, std::size_t head) const;
  /// Rows of a sequence. @throws Error where there is no such sequence
  Recording::Rows rows_of(std::size_t sequence, const ProbePoint& point) const;
  const std::filesystem::path& path() const { return recording_->path(); }

 private:
  struct Values {
    std::size_t heads = 0, width = 0;
    std::vector<float> numbers, mean;  // [rows, heads, width], [heads, width]
  };
  std::unique_ptr<Recording> recording_;
  std::map<ProbePoint, Values> values_;
};

}  // namespace vitrine
