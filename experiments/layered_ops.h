#pragma once

#include <memory>
#include <vector>

#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// What shortcuts work from besides the model.
struct ShortcutInputs {
  std::span<const ModelText> calibration{};
  std::uint64_t seed = 0;
  Run& run;
};

/// The arithmetic of a model, and what its shortcuts put over it.
class LayeredOps {
 public:
  LayeredOps() = default;
  explicit LayeredOps(std::unique_ptr<Ops> base) : base_(std::move(base)) {}
  void put(const OpsLayer& layer, const Model& model) { layers_.push_back(layer(top(), model)); }
  Ops& top() { return layers_.empty() ? *base_ : *layers_.back(); }

 private:
  std::unique_ptr<Ops> base_;
  std::vector<std::unique_ptr<Ops>> layers_;  // each over the one before it
};

/// Applies shortcuts to a model that stays where it is, exactly whatever computes with it later, and puts their layers over `ops`.
ShortcutReport apply_in_memory(Model& model, std::span<const ShortcutCall> calls, const ShortcutInputs& inputs, LayeredOps& ops);

/// {"matrices": [...], "notes": [...]}; a matrix has an output error where there was a calibration text.
Json to_json(const ShortcutReport& report);

}  // namespace vitrine
