#include "viewer/data/view_pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "viewer/data/recorded_heads.h"
#include "viewer/data/tokens.h"
#include "viewer/data/view_pack_layout_internal.h"

namespace vitrine {
namespace {

constexpr unsigned finer_levels = 2;                     // each has twice as many cells on an axis: 256 become 1,024
constexpr std::size_t most_waiting = 64u << 20;          // bytes of tiles that are made before they are written
constexpr std::size_t largest_tile = tile_cells * tile_cells * 2 * sizeof(float);
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 30;  // of a pack: browsers hold it in a memory of 2 to 4 GB

void append(std::string& bytes, std::uint32_t value, unsigned count) {
  for (unsigned i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
}

/// The largest number of a plane.
float scale_of(const std::vector<float>& values) {
  float most = 0.0f;
  for (const float each : values) most = std::isfinite(each) ? std::max(most, each) : most;
  return most;
}

void append_plane(std::string& bytes, const std::vector<float>& values, PackCodes codes, float scale) {
  for (const float each : values) {
    std::uint32_t code = std::isnan(each) ? codes.masked() : codes.no_number();
    if (std::isfinite(each)) {
      code = scale > 0.0f ? static_cast<std::uint32_t>(std::lround(static_cast<double>(codes.top()) * std::sqrt(static_cast<double>(each) / static_cast<double>(scale)))) : 0;
    }
    append(bytes, code, codes.bits / 8);
  }
}

void append_tile(std::string& bytes, const Tile& tile, unsigned bits, unsigned level) {
  const float largest = scale_of(tile.largest), mean = scale_of(tile.mean);
  append(bytes, std::bit_cast<std::uint32_t>(largest), 4);
  append(bytes, std::bit_cast<std::uint32_t>(mean), 4);
  append_plane(bytes, tile.largest, {bits}, largest);
  if (level > 0) append_plane(bytes, tile.mean, {bits}, mean);
}

/// One text of a recording on its way into a pack.
class PackWriter {
 public:
  PackWriter(const std::shared_ptr<const Document>& document, const PackOrder& order);
  std::string write(Run& run);

 private:
  PackShape shape_of(std::size_t place) const;
  std::vector<TileId> tiles_of(std::size_t place) const;
  Json header() const;
  Json about() const;
  void append_maps(std::string& bytes, Run& run);

  std::shared_ptr<const Document> document_;
  const Recording& recording_;
  std::size_t sequence_;
  HeadList heads_;
  std::vector<bool> finer_;  // of each place
  std::vector<Tokens> texts_;
};

PackWriter::PackWriter(const std::shared_ptr<const Document>& document, const PackOrder& order)
    : document_(document), recording_(*document->recording), sequence_(order.sequence), heads_(heads_of(recording_)), finer_(heads_.places.size(), false) {
  if (heads_.places.empty() || sequence_ >= recording_.sequences()) throw Error({document->path.string(), "attention of a text", "none", "record with --attention factors"});
  for (const std::string& label : order.finer) {
    if (label == "all") {
      finer_.assign(finer_.size(), true);
      continue;
    }
    const auto found = std::ranges::find(heads_.labels, label);
    if (found == heads_.labels.end()) throw Error({"--heads", "heads of " + document->path.string() + ", " + heads_.labels.front() + " to " + heads_.labels.back(), quoted(label), ""}, Fault::usage);
    finer_[static_cast<std::size_t>(found - heads_.labels.begin())] = true;
  }
  texts_.push_back(tokens_of(*document, sequence_));
  if (recording_.has_encoder()) texts_.push_back(tokens_of(*document, sequence_, Recording::Side::encoder));
  for (const Tokens& text : texts_) {
    if (text.labels.empty() || text.labels.size() > pack_most_tokens) throw Error({document->path.string(), "texts of 1 to " + std::to_string(pack_most_tokens) + " tokens", std::to_string(text.labels.size()), ""});
  }
}

PackShape PackWriter::shape_of(std::size_t place) const {
  const Recording::Module& module = recording_.modules()[heads_.places[place].module];
  const auto count = [&](Recording::Side side) { return texts_[side == Recording::Side::encoder ? 1 : 0].labels.size(); };
  PackShape shape{count(module.queries), count(module.keys), 0, finer_[place] ? 16u : 8u};
  shape.finest = shape.whole() - std::min(shape.whole(), finer_[place] ? finer_levels : 0);
  return shape;
}

/// As they lie in the pack.
std::vector<TileId> PackWriter::tiles_of(std::size_t place) const {
  const PackShape shape = shape_of(place);
  const auto [module, head] = heads_.places[place];
  std::vector<TileId> tiles;
  for (unsigned level = shape.whole() + 1; level-- > shape.finest;) {
    for (std::size_t row = 0; row < shape.tiles(shape.queries, level); ++row) {
      for (std::size_t column = 0; column < shape.tiles(shape.keys, level); ++column) tiles.push_back({{document_, module, head, sequence_}, level, row, column});
    }
  }
  return tiles;
}

Json PackWriter::about() const {
  const Json& source = recording_.provenance();
  Json about = Json::object().set("recording", document_->path.filename().string());
  for (const char* name : {"model", "architecture", "kernel", "precision", "instruction_set", "format_version", "program"}) {
    if (source.has(name)) about.set(name, source[name]);
  }
  return about.set("sequence", std::uint64_t{sequence_}).set("sequences", std::uint64_t{recording_.sequences()}).set("finished", recording_.finished());
}

Json PackWriter::header() const {
  Json header = Json::object().set("about", about()), texts = Json::array(), scores = Json::array(), modules = Json::array();
  for (const Tokens& text : texts_) {
    Json labels = Json::array();
    for (const std::string& label : text.labels) labels.push(label);
    texts.push(Json::object().set("labels", std::move(labels)));
  }
  for (const std::string& name : heads_.score_names) scores.push(name);
  for (std::size_t place = 0, m = 0; m < heads_.modules.size(); ++m) {
    const Recording::Module& module = recording_.modules()[m];
    Json heads = Json::array();
    for (std::size_t h = 0; h < module.heads; ++h, ++place) {
      Json values = Json::array();
      for (const auto& score : heads_.scores) values.push(score[place]);  // null where undefined
      const PackShape shape = shape_of(place);
      heads.push(Json::object().set("finest", std::uint64_t{shape.finest}).set("bits", std::uint64_t{shape.bits}).set("scores", std::move(values)));
    }
    modules.push(Json::object().set("name", module.name).set("block", std::uint64_t{module.block}).set("queries", module.queries == Recording::Side::encoder ? 1 : 0)
                     .set("keys", module.keys == Recording::Side::encoder ? 1 : 0).set("heads", std::move(heads)));
  }
  return header.set("texts", std::move(texts)).set("scores", std::move(scores)).set("modules", std::move(modules));
}

/// Many heads at once, so that all cores have work; no more than there is memory for.
void PackWriter::append_maps(std::string& bytes, Run& run) {
  TileCache cache({.bytes = 4 * most_waiting, .threads = available_cores()});
  for (std::size_t place = 0; place < heads_.places.size();) {
    std::vector<std::pair<TileId, unsigned>> waiting;  // and bits
    for (; place < heads_.places.size() && waiting.size() * largest_tile < most_waiting; ++place) {
      for (const TileId& tile : tiles_of(place)) waiting.emplace_back(tile, shape_of(place).bits);
    }
    for (const auto& each : waiting) cache.find(each.first, Urgency::seen);
    cache.settle();
    for (const auto& [id, bits] : waiting) {
      const auto tile = cache.find(id, Urgency::seen);
      if (const std::string error = cache.take_error(); !error.empty()) throw Error({document_->path.string(), "a map", error, ""});
      VITRINE_CHECK(tile && tile->rows > 0);
      if (std::ranges::any_of(tile->largest, [](float each) { return each < 0.0f; })) throw Error({document_->path.string(), "weights of at least 0", "a negative one", "the file was changed"});
      append_tile(bytes, *tile, bits, id.level);
    }
    run.step("maps", place, heads_.places.size());
  }
}

std::string PackWriter::write(Run& run) {
  std::uint64_t size = 0;
  for (std::size_t place = 0; place < heads_.places.size(); ++place) size += shape_of(place).bytes();
  const bool any_finer = std::ranges::find(finer_, true) != finer_.end();
  if (size > most_bytes) throw Error({"--pack", "at most 1024 MB of maps, which a browser holds", std::to_string(size >> 20) + " MB", any_finer ? "name fewer heads in --heads" : "the model has too many heads"}, Fault::usage);
  ThreadPool pool(available_cores());
  set_scores(heads_, head_table(recording_, pool, run));
  const std::string header = this->header().dump();
  std::string bytes(pack_mark);
  bytes.reserve(pack_front + header.size() + static_cast<std::size_t>(size));
  append(bytes, pack_version, 4);
  append(bytes, static_cast<std::uint32_t>(header.size()), 4);
  bytes += header;
  append_maps(bytes, run);
  VITRINE_CHECK(bytes.size() == pack_front + header.size() + size);
  return bytes;
}

}  // namespace

std::string view_pack(const std::shared_ptr<const Document>& document, const PackOrder& order, Run& run) { return PackWriter(document, order).write(run); }

}  // namespace vitrine
