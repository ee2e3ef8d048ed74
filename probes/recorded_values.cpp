#include "probes/recorded_values.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {

RecordedValues::RecordedValues(const ModelSpec& spec, const std::filesystem::path& path, std::span<const ProbePoint> points) : recording_(Recording::open(path)) {
  for (const ProbePoint& point : points) {
    const std::string name = point_name(point);
    const auto found = std::ranges::find(recording_->activations(), (point.site == Site::logits ? "/" : "/activations/") + name, &Recording::Dataset::name);
    if (found == recording_->activations().end()) throw Error({path.string(), name, "a recording without it", "record with --points " + name});
    const PointShape shape = point_shape(spec, point);
    std::size_t numbers = 1;
    for (std::size_t axis = 1; axis < found->shape.size(); ++axis) numbers *= found->shape[axis];
    if (is_square(point.site) || numbers != shape.heads * shape.width) {
      throw Error({path.string() + ", " + name, std::to_string(shape.heads * shape.width) + " numbers a row, as this model has", std::to_string(numbers), "give a recording of a model of the same shape"});
    }
    Values& values = values_[point];
    values.heads = shape.heads;
    values.width = shape.width;
    values.numbers = recording_->activation(*found, {0, found->shape.front()});
    const std::size_t rows = values.numbers.size() / numbers;
    if (rows == 0) throw Error({path.string() + ", " + name, "recorded rows", "none", "record a text"});
    std::vector<double> sums(numbers, 0.0);
    for (std::size_t i = 0; i < values.numbers.size(); ++i) sums[i % numbers] += values.numbers[i];
    for (const double sum : sums) values.mean.push_back(static_cast<float>(sum / static_cast<double>(rows)));
  }
}

RecordedValues::~RecordedValues() = default;

std::size_t RecordedValues::rows(const ProbePoint& point) const {
  const Values& values = values_.at(point);
  return values.numbers.size() / (values.heads * values.width);
}

std::span<const float> RecordedValues::row(const ProbePoint& point, std::size_t row, std::size_t head) const {
  const Values& values = values_.at(point);
  return std::span(values.numbers).subspan((row * values.heads + head) * values.width, values.width);
}

std::span<const float> RecordedValues::mean(const ProbePoint& point, std::size_t head) const {
  const Values& values = values_.at(point);
  return std::span(values.mean).subspan(head * values.width, values.width);
}

Recording::Rows RecordedValues::rows_of(std::size_t sequence, const ProbePoint& point) const {
  if (sequence >= recording_->sequences()) {
    throw Error({path().string(), "a sequence from 0 to " + std::to_string(recording_->sequences() - 1), std::to_string(sequence), ""}, Fault::usage);
  }
  return recording_->rows_of(sequence, point.stack == Stack::encoder ? Recording::Side::encoder : Recording::Side::text);
}

}  // namespace vitrine
