#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "probes/figures/figure.h"
#include "viewer/data/action.h"
#include "viewer/desk.h"

namespace vitrine {

/// A panel's window while it shows a document. It is made anew when the document changes, and handed its state back.
class PanelView {
 public:
  virtual ~PanelView() = default;
  /// Draws into the current ImGui window.
  virtual void draw(Desk& desk) = 0;
  /// Whether what it shows is still being computed: pictures wait for it. Whoever computes calls wake_window() when it is done.
  virtual bool busy() const { return false; }
  /// What undo and sessions keep besides the selection: a JSON object.
  virtual Json state() const { return Json::object(); }
  /// Takes over what state() gave, from a file that anyone may have written: what does not fit is left out.
  virtual void restore(const Json&) {}
  /// What can be done here, for the palette and the keys while the panel has the focus.
  virtual std::vector<Action> actions(Desk&) { return {}; }
  /// What is seen, as data, for SVG, CSV and NPY. @throws Error where nothing can be shown
  virtual Figure figure(Desk& desk) = 0;
};

/// A kind of panel. Extension point: viewer/panels/<name>.cpp. There is one window of each kind.
struct Panel {
  std::string_view name;     ///< "attention": of --panel, --export, sessions
  std::string_view title;    ///< "Attention map": of its window
  std::string_view summary;
  int place = 0;             ///< in menus and tabs, ascending
  /// Whether the panel shows a document; null: it needs none.
  bool (*shows)(const Document& document);
  /// @param document  one that it shows; null where it needs none
  std::unique_ptr<PanelView> (*make)(const DocumentPointer& document, Desk& desk);
};

std::span<const Panel* const> all_panels();

}  // namespace vitrine
