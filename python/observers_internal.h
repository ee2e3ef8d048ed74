#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/model/observer.h"
#include "python/arrays_internal.h"

namespace vitrine {

/// How long the texts of a batch are, in tokens.
struct BatchLengths {
  std::size_t batch = 0, positions = 0;
  std::size_t source = 0;  ///< of an encoder-decoder: the encoder's texts
};

/// Copies the values of points, once, into arrays of whole texts.
class ArrayCollector : public Observer {
 public:
  /// Makes the arrays; needs Python's lock, see() does not.
  ArrayCollector(const ModelSpec& spec, std::span<const ProbePoint> points, const BatchLengths& lengths);
  Access access(const ProbePoint& point) const override { return targets_.contains(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;
  /// Name -> array, in the order of the forward pass. Checks that every row of every point came.
  pybind11::dict arrays(std::span<const ProbePoint> points) const;

 private:
  struct Target {
    FloatArray array;
    float* numbers;
    Layout layout;
    std::size_t positions, heads, width;
    std::size_t seen = 0;  // rows
  };
  std::map<ProbePoint, Target> targets_;
  BatchLengths lengths_;
};

/// What a hook is told besides the values.
struct HookPlace {
  std::string name;
  int block;
  std::size_t first_sequence, end_sequence;  // of the batch
  std::size_t first_position, end_position;
};

/// A Python callable at some points.
struct Hook {
  std::set<ProbePoint> points;
  pybind11::object call;
  Access access = Access::write;
};

/// Shows values to Python and takes what it made of them.
class HookCaller : public Observer {
 public:
  explicit HookCaller(std::vector<Hook> hooks) : hooks_(std::move(hooks)) {}
  Access access(const ProbePoint& point) const override;
  /// @throws what the callable raises; Error where it returns an array of another shape
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;

 private:
  std::vector<Hook> hooks_;
};

}  // namespace vitrine
