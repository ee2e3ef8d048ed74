#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "probes/recording.h"
#include "probes/statistics/estimate.h"

namespace vitrine {

/// What a file holds, by its content.
enum class DocumentKind {
  recording,    ///< HDF5 of `vitrine record`
  study,        ///< study.json of `vitrine study`: estimates, tables, notes
  patching,     ///< `vitrine patch --json`
  analysis,     ///< `vitrine analyse NAME --json`: tables, grids
  attribution,  ///< `vitrine attribute --json`: what each token adds
  benchmark     ///< `vitrine bench --benchmark_format=json`, bench/peers/compare.py --json
};
std::string_view document_kind_name(DocumentKind kind);

/// A file that the viewer shows. It does not change: a file that was written to is opened anew.
struct Document {
  std::filesystem::path path;
  DocumentKind kind = DocumentKind::recording;
  std::unique_ptr<Recording> recording;  ///< or null; any thread may read it
  Json json;                             ///< of all other kinds
  std::vector<Estimate> estimates;       ///< of a study or analysis
  std::uintmax_t bytes = 0;
  std::filesystem::file_time_type written{};  ///< when it was opened
};

using DocumentPointer = std::shared_ptr<const Document>;

/// Recognises a file by its content. @throws Error with one clear line
DocumentPointer open_document(const std::filesystem::path& path);

}  // namespace vitrine
