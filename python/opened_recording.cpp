#include "python/opened_recording_internal.h"

#include "core/base/error.h"
#include "experiments/session.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"
#include "probes/head_score.h"
#include "python/interrupt_internal.h"

namespace py = pybind11;

namespace vitrine {
namespace {

/// The part of an axis that was asked for. @throws Error (usage)
Range part_of(const char* axis, const std::optional<Range>& asked, std::size_t length) {
  if (!asked) return {0, length};
  if (asked->first <= asked->second && asked->second <= length) return *asked;
  throw Error({axis, "a part of 0 to " + std::to_string(length), std::to_string(asked->first) + " to " + std::to_string(asked->second), ""}, Fault::usage);
}

}  // namespace

void OpenedRecording::require_sequence(std::size_t sequence) const {
  const std::size_t count = recording_->sequences();
  if (sequence < count) return;
  throw Error({recording_->path().string(), "a sequence below " + std::to_string(count), std::to_string(sequence), ""}, Fault::usage);
}

const Recording::Module& OpenedRecording::module_named(const std::string& name) const {
  std::string known;
  for (const Recording::Module& module : recording_->modules()) {
    if (module.name == name) return module;
    known += (known.empty() ? "" : ", ") + module.name;
  }
  throw Error({recording_->path().string(), known.empty() ? "attention factors" : "one of " + known, known.empty() ? "none" : quoted(name),
               known.empty() ? "record with attention=\"factors\"" : ""}, Fault::usage);
}

std::vector<std::string> OpenedRecording::names() const {
  std::vector<std::string> names;
  for (const Recording::Dataset& dataset : recording_->activations()) names.push_back(dataset.name.substr(dataset.name.rfind('/') + 1));
  return names;
}

std::vector<std::string> OpenedRecording::modules() const {
  std::vector<std::string> names;
  for (const Recording::Module& module : recording_->modules()) names.push_back(module.name);
  return names;
}

py::tuple OpenedRecording::tokens(std::size_t sequence, Recording::Side side) const {
  require_sequence(sequence);
  if (side == Recording::Side::encoder && !recording_->has_encoder()) {
    throw Error({recording_->path().string(), "a recording of an encoder-decoder", "another", ""}, Fault::usage);
  }
  py::list texts;
  for (const std::string& bytes : recording_->token_texts(sequence, side)) texts.append(py::bytes(bytes));
  return py::make_tuple(recording_->token_ids(sequence, side), texts);
}

FloatArray OpenedRecording::log_probabilities(std::size_t sequence) const {
  require_sequence(sequence);
  const std::vector<float> values = recording_->log_probabilities(sequence);
  return FloatArray(static_cast<py::ssize_t>(values.size()), values.data());
}

FloatArray OpenedRecording::activation(const std::string& name, std::size_t sequence) const {
  require_sequence(sequence);
  const auto is_named = [&](const Recording::Dataset& dataset) { return dataset.name.substr(dataset.name.rfind('/') + 1) == name; };
  const auto dataset = std::ranges::find_if(recording_->activations(), is_named);
  const std::optional<ProbePoint> point = parse_point(name);
  if (dataset == recording_->activations().end() || !point) throw Error({recording_->path().string(), "an activation that was recorded", quoted(name), "see names()"}, Fault::usage);
  const Recording::Rows rows = recording_->rows_of(sequence, dataset->side);
  const Layout layout = layout_of(point->site);
  const std::vector<float> values = recording_->activation(*dataset, rows);
  const bool has_heads = dataset->shape.size() == 3;
  PointShape shape{has_heads ? dataset->shape[1] : 1, dataset->shape.back()};
  if (layout == Layout::numbers && !has_heads) shape = {shape.width, 1};
  if (layout != Layout::map) return FloatArray(extents_of(layout, 1, rows.count, shape), values.data());
  // Stored as [query, head, key] with keys up to the longest sequence.
  const std::size_t keys = recording_->rows_of(sequence, has_source_keys(*point) ? Recording::Side::encoder : Recording::Side::text).count;
  FloatArray array(extents_of(layout, 1, rows.count, {shape.heads, keys}));
  for (std::size_t h = 0; h < shape.heads; ++h) {
    for (std::size_t r = 0; r < rows.count; ++r) std::copy_n(values.data() + (r * shape.heads + h) * shape.width, keys, array.mutable_data() + (h * rows.count + r) * keys);
  }
  return array;
}

FloatArray OpenedRecording::map(const std::string& name, const GivenTile& tile, bool scores) const {
  require_sequence(tile.sequence);
  const Recording::Module& module = module_named(name);
  if (tile.head >= module.heads) throw Error({"head", "one below " + std::to_string(module.heads), std::to_string(tile.head), ""}, Fault::usage);
  const Range rows = part_of("rows", tile.rows, recording_->rows_of(tile.sequence, module.queries).count);
  const Range keys = part_of("keys", tile.keys, recording_->rows_of(tile.sequence, module.keys).count);
  const auto head = recording_->head(module, tile.head, tile.sequence);
  const std::size_t height = rows.second - rows.first, width = keys.second - keys.first;
  FloatArray array({height, width});
  (scores ? score_tile : pattern_tile)(head->factors, rows.first, keys.first, {array.mutable_data(), {height, width}});
  return array;
}

FloatArray OpenedRecording::factor(const std::string& name, const std::string& factor, std::size_t sequence) const {
  require_sequence(sequence);
  const Recording::Module& module = module_named(name);
  const bool keys = factor == "k", numbers = factor == "normalizer";
  const std::size_t count = recording_->rows_of(sequence, keys ? module.keys : module.queries).count;
  const std::size_t heads = keys ? module.kv_heads : module.heads, width = numbers ? 1 : module.head_dim;
  FloatArray array(extents_of(numbers ? Layout::numbers : Layout::heads, 1, count, {heads, width}));
  for (std::size_t h = 0; h < heads; ++h) {
    const auto head = recording_->head(module, keys ? h * (module.heads / heads) : h, sequence);
    const std::vector<float>& values = keys ? head->k : numbers ? head->normalizer : head->q;
    for (std::size_t r = 0; r < count; ++r) std::copy_n(values.data() + r * width, width, array.mutable_data() + (r * heads + h) * width);
  }
  return array;
}

py::list OpenedRecording::head_rows(std::size_t threads) const {
  ThreadPool pool(checked_threads(threads), initialize_worker);
  Run run;
  const CancelOnInterrupt interrupt(run);
  std::vector<HeadRow> table;
  try {
    table = head_table(*recording_, pool, run);
  } catch (const Cancelled&) {
    if (PyErr_CheckSignals() == 0) PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw py::error_already_set();
  }
  const auto scores = all_head_scores();
  py::list rows;
  for (const HeadRow& row : table) {
    py::dict fields;
    fields["module"] = row.module;
    fields["layer"] = row.layer;
    fields["head"] = row.head;
    for (std::size_t s = 0; s < scores.size(); ++s) fields[py::str(std::string(scores[s]->name))] = row.scores[s];
    rows.append(fields);
  }
  return rows;
}

}  // namespace vitrine
