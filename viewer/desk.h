#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "viewer/data/document.h"
#include "viewer/data/record_job.h"
#include "viewer/data/tiles.h"
#include "viewer/draw/heat_map.h"

namespace vitrine {

/// What the user looks at. All panels share it; undo, sessions and --goto set it.
struct Selection {
  std::size_t layer = 0, head = 0, sequence = 0;  ///< layer: a place in Recording::modules()
  std::optional<std::size_t> query;               ///< position of the token that was chosen
  std::optional<std::size_t> key;                 ///< of a second one, that it reads
  bool operator==(const Selection&) const = default;
};
Json to_json(const Selection& selection);
/// What is missing or of another kind keeps the value of `selection`.
Selection selection_from_json(const Json& json, Selection selection);
/// The place `by` further of `count`, around the ends. @param count  at least 1
std::size_t stepped(std::size_t place, std::size_t count, int by);
/// Chooses the next query of so many, or the one before; the first or last where none was chosen.
void step_query(Selection& selection, std::size_t count, int by);

/// A line for the user: what failed, or what was done.
struct Message {
  std::string text;
  bool error = false;
};

/// Everything that panels share: the open files, which of them are looked at, and what is selected.
class Desk {
 public:
  explicit Desk(TileCache::Options tiles);

  /// Opens a file and looks at it; a file that is open already is opened anew in its place. A failure becomes a message, and nothing else changes.
  /// @returns what was opened, or null
  DocumentPointer open(const std::filesystem::path& path);
  /// The same, where a failure is the caller's to tell. @throws Error
  DocumentPointer open_or_throw(const std::filesystem::path& path);
  /// Takes what was opened elsewhere.
  void add(const DocumentPointer& document);
  void close(const DocumentPointer& document);
  /// Opens what record() has made, and anew what was written since (a recording that grows), at most once a second.
  void watch();

  const std::vector<DocumentPointer>& documents() const { return documents_; }
  /// The document that panels of this kind show; null where there is none. The last that was opened until the user chooses another.
  DocumentPointer shown(DocumentKind kind) const;
  void show(const DocumentPointer& document);
  /// The recording that others are compared with; null until a second one is opened or the user chooses one.
  DocumentPointer reference() const;
  void set_reference(const DocumentPointer& document);
  /// Changes with every change of the documents or of which are shown: views are made anew then.
  std::size_t version() const { return version_; }

  /// Keeps layer, head, sequence, query and key within what the shown recording has.
  void clamp_selection();

  void tell(std::string text) { messages_.push_back({std::move(text), false}); }
  void warn(std::string text) { messages_.push_back({std::move(text), true}); }
  std::vector<Message>& messages() { return messages_; }

  TileCache& tiles() { return tiles_; }

  /// Starts `vitrine record` beside us, which outlives the view that asked. When it is over its recording is opened and looked at, and `then` is
  /// called; where it failed there is a message. An older one of the same name is killed. @throws Error where it cannot be started
  void record(const std::string& name, const RecordOrder& order, std::function<void(Desk& desk, const DocumentPointer& recording)> then);
  /// The one of that name that is running; null where there is none.
  RecordJob* recording(const std::string& name);
  /// The models that the user may want, see known_models().
  std::vector<std::string> models() const;

  Selection selection;
  ColorScale map_scale;            ///< of attention maps, shared so that maps can be compared by eye
  std::string panel_to_show;       ///< a panel's name that shall come to the front, emptied by the workbench

 private:
  struct Recorded {
    std::unique_ptr<RecordJob> job;
    std::function<void(Desk& desk, const DocumentPointer& recording)> then;
  };
  void take_recordings();
  std::size_t place_of(const std::filesystem::path& path) const;
  void replace(std::size_t place, const DocumentPointer& document);

  std::vector<DocumentPointer> documents_;
  std::map<DocumentKind, DocumentPointer> shown_;
  DocumentPointer reference_;
  std::vector<Message> messages_;
  std::size_t version_ = 0;
  std::map<std::filesystem::path, std::filesystem::file_time_type> tried_;
  double next_watch_ = 0.0;  // seconds of a steady clock
  std::function<void()> wake_;
  std::map<std::string, Recorded> jobs_;
  TileCache tiles_;
};

}  // namespace vitrine
