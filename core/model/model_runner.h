#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/forward.h"

namespace vitrine {

/// A loaded model with everything that runs it: what analyses, patching and attributions work with.
struct ModelRunner {
  const Model& model;
  Ops& ops;
  const KernelChoice& kernel;
  const KvFormat& kv_format;
  Workspace& workspace;
  Run& run;

  ForwardContext context(const TapPlan& taps) const { return {model, ops, kernel, workspace, run, taps}; }
};

/// A text as a model takes it.
struct ModelText {
  std::vector<TokenId> ids;          ///< of an encoder-decoder: the decoder's
  std::vector<std::int32_t> types;   ///< segments of the tokens, or empty
  std::vector<TokenId> source;       ///< the encoder's text of an encoder-decoder
};

/// Runs texts through a model, several in one pass where they are short; text i is sequence i in RowRef. Of an encoder-decoder
/// the encoder runs first, under the same observers. A text whose ids are empty is left out.
/// @throws Error where a text does not fit the model; Cancelled
void run_texts(const ModelRunner& runner, std::span<const ModelText> texts, std::span<Observer* const> observers, const ForwardSinks& sinks);

}  // namespace vitrine
