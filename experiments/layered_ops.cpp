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

}  // namespace vitrine
