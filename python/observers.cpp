#include "python/observers_internal.h"

#include <limits>

#include "core/base/error.h"

namespace py = pybind11;

namespace vitrine {
namespace {

std::string shape_of(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) text += (axis > 0 ? ", " : "") + std::to_string(array.shape(axis));
  return text + ")";
}

HookPlace place_of(const ProbePoint& point, std::span<const RowRef> rows) {
  const RowRef& first = rows.front();
  const RowRef& last = rows.back();
  return {point_name(point), point.block, first.sequence, last.sequence + 1u, first.position, last.position + 1u};
}

/// What a hook made of the array that it was given: the same one, or another of its shape.
FloatArray result_of(const Hook& hook, FloatArray array, const HookPlace& place) {
  if (hook.access == Access::read) array.attr("setflags")(py::arg("write") = false);
  const py::object result = hook.call(array, place);
  if (result.is_none()) return array;
  const std::string where = "hook on " + place.name;
  if (hook.access == Access::read) throw Error({where, "nothing returned by an observer", "a value", "give it as a hook"}, Fault::usage);
  const FloatArray given = FloatArray::ensure(result);
  if (!given) throw Error({where, "an array of numbers or None", std::string(py::str(py::type::of(result))), ""}, Fault::usage);
  const bool same = given.ndim() == array.ndim() && std::equal(given.shape(), given.shape() + given.ndim(), array.shape());
  if (!same) throw Error({where, "an array of shape " + shape_of(array), shape_of(given), ""}, Fault::usage);
  return given;
}

}  // namespace

ArrayCollector::ArrayCollector(const ModelSpec& spec, std::span<const ProbePoint> points, const BatchLengths& lengths) : lengths_(lengths) {
  for (const ProbePoint& point : points) {
    PointShape shape = point_shape(spec, point);
    const Layout layout = layout_of(point.site);
    const std::size_t positions = has_source_rows(point) ? lengths.source : lengths.positions;
    if (layout == Layout::map) shape.width = has_source_keys(point) ? lengths.source : lengths.positions;
    FloatArray array(extents_of(layout, lengths.batch, positions, shape));
    float* numbers = array.mutable_data();
    // Keys behind the piece of a long text that a row stands in are never shown: it does not see them.
    const float unseen = point.site == Site::attn_scores ? -std::numeric_limits<float>::infinity() : 0.0f;
    if (layout == Layout::map) std::fill_n(numbers, array.size(), unseen);
    targets_.insert({point, {std::move(array), numbers, layout, positions, shape.heads, shape.width}});
  }
}

void ArrayCollector::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  Target& target = targets_.at(point);
  VITRINE_CHECK(values.extent(1) == target.heads);
  VITRINE_CHECK(target.layout == Layout::map ? values.extent(2) <= target.width : values.extent(2) == target.width);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::size_t sequence = rows[r].sequence, position = rows[r].position;
    VITRINE_CHECK(sequence < lengths_.batch && position < target.positions);
    for (std::size_t h = 0; h < target.heads; ++h) {
      const std::size_t line = target.layout == Layout::map ? (sequence * target.heads + h) * target.positions + position
                                                            : (sequence * target.positions + position) * target.heads + h;
      copy_line(&values(r, h, 0), values.stride(2), target.numbers + line * target.width, values.extent(2));
    }
  }
  target.seen += rows.size();
}

py::dict ArrayCollector::arrays(std::span<const ProbePoint> points) const {
  py::dict result;
  for (const ProbePoint& point : points) {
    const Target& target = targets_.at(point);
    VITRINE_CHECK(target.seen == lengths_.batch * target.positions);
    result[py::str(point_name(point))] = target.array;
  }
  return result;
}

Access HookCaller::access(const ProbePoint& point) const {
  Access most = Access::none;
  for (const Hook& hook : hooks_) {
    if (hook.points.contains(point)) most = std::max(most, hook.access);
  }
  return most;
}

void HookCaller::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  const py::gil_scoped_acquire lock;
  const Layout layout = layout_of(point.site);
  const HookPlace place = place_of(point, rows);
  const std::size_t batch = place.end_sequence - place.first_sequence, positions = place.end_position - place.first_position;
  VITRINE_CHECK(batch * positions == rows.size());
  // An array of its own, so that a hook may keep it.
  FloatArray array(extents_of(layout, batch, positions, {values.extent(1), values.extent(2)}));
  move_lines(values, layout, array.mutable_data(), [](const float* value, float* number, std::size_t count, std::size_t stride) {
    copy_line(value, stride, number, count);
  });
  bool written = false;
  for (const Hook& hook : hooks_) {
    if (!hook.points.contains(point)) continue;
    if (hook.access == Access::read) {
      result_of(hook, hooks_.size() == 1 ? array : FloatArray(py::array(array.request())), place);
    } else {
      array = result_of(hook, array, place);
      written = true;
    }
  }
  if (!written) return;
  move_lines(values, layout, const_cast<float*>(array.data()), [](float* value, const float* number, std::size_t count, std::size_t stride) {
    for (std::size_t i = 0; i < count; ++i) value[i * stride] = number[i];
  });
}

}  // namespace vitrine
