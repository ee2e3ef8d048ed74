#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "probes/recording.h"
#include "probes/statistics/estimate.h"

namespace vitrine {

/// A file that the viewer shows: a recording, or a study's JSON.
struct Document {
  std::filesystem::path path;
  std::unique_ptr<Recording> recording;  ///< or null
  Json study;                            ///< or null
  std::vector<Estimate> estimates;       ///< of the study
};

/// Recognises a file by its content. @throws Error with one clear line
Document open_document(const std::filesystem::path& path);

/// What the user looks at; panels share it.
struct Selection {
  std::size_t layer = 0, head = 0, sequence = 0;
  std::optional<std::size_t> query;  ///< position of a query whose row is marked
};

/// A panel that shows one document.
class PanelView {
 public:
  virtual ~PanelView() = default;
  /// Draws into the current ImGui window.
  virtual void draw(Selection& selection) = 0;
  /// Whether what it shows is still being computed; frames go on until it is done.
  virtual bool busy() const { return false; }
};

/// A kind of panel. Extension point: viewer/panels/<name>.cpp.
struct Panel {
  std::string_view name;
  std::string_view summary;
  bool (*shows)(const Document& document);
  std::unique_ptr<PanelView> (*make)(const Document& document);
};

std::span<const Panel* const> all_panels();

}  // namespace vitrine
