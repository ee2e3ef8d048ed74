#include "viewer/desk.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr double seconds_between_looks = 1.0;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::size_t whole_or(const Json& json, std::size_t otherwise) { return json.is_integer() && json.integer() >= 0 ? static_cast<std::size_t>(json.integer()) : otherwise; }

std::optional<std::size_t> whole(const Json& json) { return json.is_integer() && json.integer() >= 0 ? std::optional(static_cast<std::size_t>(json.integer())) : std::nullopt; }

bool was_written(const Document& document) {
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(document.path, failed);
  if (failed) return false;
  return written != document.written || std::filesystem::file_size(document.path, failed) != document.bytes;
}

}  // namespace

Json to_json(const Selection& selection) {
  Json json = Json::object();
  json.set("layer", std::uint64_t{selection.layer}).set("head", std::uint64_t{selection.head}).set("sequence", std::uint64_t{selection.sequence});
  if (selection.query) json.set("query", std::uint64_t{*selection.query});
  if (selection.key) json.set("key", std::uint64_t{*selection.key});
  return json;
}

Selection selection_from_json(const Json& json, Selection selection) {
  return {whole_or(json["layer"], selection.layer), whole_or(json["head"], selection.head), whole_or(json["sequence"], selection.sequence), whole(json["query"]),
          whole(json["key"])};
}

std::size_t stepped(std::size_t place, std::size_t count, int by) { return (place + count + static_cast<std::size_t>(static_cast<std::ptrdiff_t>(by))) % count; }

void step_query(Selection& selection, std::size_t count, int by) {
  if (count > 0) selection.query = stepped(selection.query.value_or(by > 0 ? count - 1 : 0), count, by);
}

Desk::Desk(TileCache::Options tiles) : wake_(tiles.ready), tiles_(std::move(tiles)) {}

std::size_t Desk::place_of(const std::filesystem::path& path) const {
  std::error_code ignored;
  const auto same = [&](const DocumentPointer& each) { return each->path == path || std::filesystem::equivalent(each->path, path, ignored); };
  return static_cast<std::size_t>(std::ranges::find_if(documents_, same) - documents_.begin());
}

DocumentPointer Desk::open_or_throw(const std::filesystem::path& path) {
  const DocumentPointer document = open_document(path);
  const std::size_t place = place_of(document->path);
  place < documents_.size() ? replace(place, document) : add(document);
  return document;
}

DocumentPointer Desk::open(const std::filesystem::path& path) {
  try {
    return open_or_throw(path);
  } catch (const std::exception& error) {
    warn(error.what());
    return nullptr;
  }
}

void Desk::replace(std::size_t place, const DocumentPointer& document) {
  const DocumentPointer old = std::exchange(documents_[place], document);
  tiles_.forget(*old);
  if (reference_ == old) reference_ = document;
  if (shown(old->kind) == old) shown_.erase(old->kind);
  if (!shown_.contains(document->kind)) shown_[document->kind] = document;
  ++version_;
  clamp_selection();
}

void Desk::add(const DocumentPointer& document) {
  documents_.push_back(document);
  DocumentPointer& shown = shown_[document->kind];
  if (document->kind == DocumentKind::recording && !reference_) reference_ = shown;  // the first stays beside the second: they are compared
  shown = document;
  ++version_;
  clamp_selection();
}

void Desk::close(const DocumentPointer& document) {
  tiles_.forget(*document);
  std::erase(documents_, document);
  if (reference_ == document) reference_.reset();
  if (const auto found = shown_.find(document->kind); found != shown_.end() && found->second == document) {
    shown_.erase(found);
    const auto other = std::ranges::find_if(documents_, [&](const DocumentPointer& each) { return each->kind == document->kind; });
    if (other != documents_.end()) shown_[document->kind] = *other;
  }
  ++version_;
  clamp_selection();
}

void Desk::record(const std::string& name, const RecordOrder& order, std::function<void(Desk&, const DocumentPointer&)> then) {
  jobs_.erase(name);
  jobs_[name] = {std::make_unique<RecordJob>(order, wake_), std::move(then)};
}

RecordJob* Desk::recording(const std::string& name) {
  const auto found = jobs_.find(name);
  return found == jobs_.end() ? nullptr : found->second.job.get();
}

void Desk::take_recordings() {
  for (auto each = jobs_.begin(); each != jobs_.end();) {
    if (!each->second.job->done()) {
      ++each;
      continue;
    }
    const Recorded ended = std::move(each->second);
    each = jobs_.erase(each);
    if (const std::string error = ended.job->error(); !error.empty()) {
      ended.job->cancelled() ? tell(error) : warn(error);
    } else if (const DocumentPointer made = open(ended.job->recording())) {
      if (shown(DocumentKind::recording) != made) show(made);
      if (ended.then) ended.then(*this, made);
      clamp_selection();
    }
  }
}

std::vector<std::string> Desk::models() const {
  std::vector<Json> provenances;
  for (const DocumentPointer& document : documents_) {
    if (document->recording) provenances.push_back(document->recording->provenance());
  }
  return known_models(provenances);
}

void Desk::watch() {
  take_recordings();
  if (now() < next_watch_) return;
  next_watch_ = now() + seconds_between_looks;
  for (const DocumentPointer& document : std::vector(documents_)) {
    if (!was_written(*document)) continue;
    std::error_code failed;
    const auto written = std::filesystem::last_write_time(document->path, failed);
    if (!failed && std::exchange(tried_[document->path], written) != written) open(document->path);  // what cannot be opened is not tried again
  }
}

DocumentPointer Desk::shown(DocumentKind kind) const {
  const auto found = shown_.find(kind);
  return found == shown_.end() ? nullptr : found->second;
}

void Desk::show(const DocumentPointer& document) {
  shown_[document->kind] = document;
  ++version_;
  clamp_selection();
}

DocumentPointer Desk::reference() const { return reference_; }

void Desk::set_reference(const DocumentPointer& document) {
  reference_ = document;
  ++version_;
}

void Desk::clamp_selection() {
  const DocumentPointer document = shown(DocumentKind::recording);
  if (!document) return;
  const Recording& recording = *document->recording;
  const auto modules = recording.modules();
  const auto within = [](std::size_t value, std::size_t count) { return count == 0 ? 0 : std::min(value, count - 1); };
  selection.layer = within(selection.layer, modules.size());
  selection.head = within(selection.head, modules.empty() ? 0 : modules[selection.layer].heads);
  selection.sequence = within(selection.sequence, recording.sequences());
  const auto rows = [&](Recording::Side side) { return recording.sequences() == 0 ? 0 : recording.rows_of(selection.sequence, side).count; };
  const bool any = !modules.empty();
  if (selection.query && *selection.query >= rows(any ? modules[selection.layer].queries : Recording::Side::text)) selection.query.reset();
  if (selection.key && *selection.key >= rows(any ? modules[selection.layer].keys : Recording::Side::text)) selection.key.reset();
}

}  // namespace vitrine
