#include "experiments/layered_ops.h"

#include "kernels/kernels.h"

namespace vitrine {

ShortcutReport apply_in_memory(Model& model, std::span<const ShortcutCall> calls, const ShortcutInputs& inputs, LayeredOps& ops) {
  if (calls.empty()) return {};
  const std::unique_ptr<Ops> exact = make_cpu_ops(Precision::exact, ops.top().pool());
  const KernelChoice kernel = choose_attention_kernel("auto", Precision::exact);
  Workspace workspace;
  ShortcutReport report = apply_shortcuts(model, calls, {*exact, kernel, workspace, inputs.run, inputs.calibration, inputs.seed});
  for (const OpsLayer& layer : report.layers) ops.put(layer, model);
  return report;
}

Json to_json(const ShortcutReport& report) {
  Json matrices = Json::array(), notes = Json::array();
  for (const MatrixChange& change : report.matrices) {
    Json row = Json::object().set("name", change.name).set("made", change.made);
    row.set("bytes_before", static_cast<std::uint64_t>(change.bytes_before)).set("bytes_after", static_cast<std::uint64_t>(change.bytes_after));
    row.set("relative_error", change.relative_error);
    if (change.output_error) row.set("output_error", *change.output_error);
    matrices.push(row);
  }
  for (const std::string& note : report.notes) notes.push(note);
  return Json::object().set("matrices", matrices).set("notes", notes);
}

}  // namespace vitrine
