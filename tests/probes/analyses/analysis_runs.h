#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {

inline const Analysis& analysis_named(std::string_view name) {
  for (const Analysis* analysis : all_analyses()) {
    if (analysis->name == name) return *analysis;
  }
  throw std::runtime_error("no analysis " + std::string(name));
}

/// What an analysis makes of a tiny model and texts.
inline AnalysisResult analysed(std::string_view name, TinyModel& tiny, std::span<const ModelText> texts, std::span<const std::string> settings) {
  const Analysis& analysis = analysis_named(name);
  const AnalysisOptions options(analysis.options, settings);
  const KvFormat format = DType::f32;
  const ModelRunner runner{tiny.model, *tiny.ops, tiny.kernel, format, tiny.workspace, tiny.progress};
  return analysis.run({&runner, texts, {}, options, tiny.pool, tiny.progress});
}

inline AnalysisResult analysed(std::string_view name, TinyModel& tiny, std::span<const Recording* const> recordings,
                               std::span<const std::string> settings) {
  const Analysis& analysis = analysis_named(name);
  const AnalysisOptions options(analysis.options, settings);
  return analysis.run({nullptr, {}, recordings, options, tiny.pool, tiny.progress});
}

}  // namespace vitrine
