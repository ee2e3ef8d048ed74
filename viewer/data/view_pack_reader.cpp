#include "viewer/data/view_pack_reader.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "viewer/data/view_pack_layout_internal.h"

namespace vitrine {
namespace {

std::uint32_t little_endian(const std::string& bytes, std::uint64_t at, unsigned count) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < count; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[static_cast<std::size_t>(at) + i])} << (8 * i);
  return value;
}

float float_at(const std::string& bytes, std::uint64_t at) {
  const std::uint32_t bits = little_endian(bytes, at, 4);
  float value = 0.0f;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// A whole number of [least, most]. @throws Error
std::size_t count_of(const Json& json, std::string_view name, std::size_t least, std::size_t most, const std::string& where) {
  const Json& value = json[name];
  if (value.is_integer() && value.integer() >= static_cast<std::int64_t>(least) && value.integer() <= static_cast<std::int64_t>(most)) return static_cast<std::size_t>(value.integer());
  throw Error({where + ": " + std::string(name), std::to_string(least) + " to " + std::to_string(most), quoted(value.dump()), ""});
}

const std::string& word_of(const Json& json, std::string_view name, const std::string& where) {
  if (json[name].is_string()) return json[name].string();
  throw Error({where + ": " + std::string(name), "a text", quoted(json[name].dump()), ""});
}

const Json::Array& list_of(const Json& json, std::string_view name, const std::string& where) {
  if (json[name].is_array()) return json[name].items();
  throw Error({where + ": " + std::string(name), "a list", quoted(json[name].dump()), ""});
}

/// What each code stands for.
std::vector<float> meanings_of(PackCodes codes, float scale) {
  std::vector<float> meanings(codes.masked() + 1);
  for (std::uint32_t code = 0; code <= codes.top(); ++code) {
    const float share = static_cast<float>(code) / static_cast<float>(codes.top());
    meanings[code] = scale * (share * share);
  }
  meanings[codes.no_number()] = std::numeric_limits<float>::infinity();
  meanings[codes.masked()] = std::numeric_limits<float>::quiet_NaN();
  return meanings;
}

}  // namespace

ViewPack::ViewPack(std::string bytes, std::string_view where) : bytes_(std::move(bytes)), where_(where) {
  if (bytes_.size() < pack_front || !bytes_.starts_with(pack_mark)) throw Error({where_, "a view pack", "other bytes", "vitrine-viewer RUN --pack FILE.vpack writes one"});
  const std::uint32_t version = little_endian(bytes_, 8, 4), header = little_endian(bytes_, 12, 4);
  if (version != pack_version) throw Error({where_, "version " + std::to_string(pack_version) + " of view packs", std::to_string(version), "use the program that wrote it"});
  if (header > bytes_.size() - pack_front) throw Error({where_, "a header of " + std::to_string(header) + " bytes", "a file that ends before", "it was cut off"});
  end_ = pack_front + header;
  read_header(parse_json(std::string_view(bytes_).substr(pack_front, header), where_));
  if (end_ != bytes_.size()) throw Error({where_, std::to_string(end_) + " bytes", std::to_string(bytes_.size()), "it was cut off or lengthened"});
}

void ViewPack::read_header(const Json& header) {
  about_ = header["about"];
  read_texts(header);
  const Json::Array& modules = list_of(header, "modules", where_);
  for (const Json& name : list_of(header, "scores", where_)) {
    if (!name.is_string()) throw Error({where_ + ": scores", "names", quoted(name.dump()), ""});
    heads_.score_names.push_back(name.string());
  }
  heads_.scores.resize(heads_.score_names.size());
  for (const Json& module : modules) read_heads(module);
  if (heads_.places.empty()) throw Error({where_, "maps", "none", ""});
}

void ViewPack::read_texts(const Json& header) {
  const Json::Array& texts = list_of(header, "texts", where_);
  if (texts.empty() || texts.size() > texts_.size()) throw Error({where_ + ": texts", "one or two", std::to_string(texts.size()), ""});
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Json::Array& labels = list_of(texts[i], "labels", where_ + ": texts");
    if (labels.empty() || labels.size() > pack_most_tokens) throw Error({where_ + ": texts", "1 to " + std::to_string(pack_most_tokens) + " tokens", std::to_string(labels.size()), ""});
    for (const Json& label : labels) {
      if (!label.is_string()) throw Error({where_ + ": texts", "labels", quoted(label.dump()), ""});
      texts_[i].push_back(label.string());
    }
  }
}

void ViewPack::read_heads(const Json& module) {
  const std::string where = where_ + ": module " + std::to_string(modules_.size());
  const Json::Array& heads = list_of(module, "heads", where);
  const Module texts{count_of(module, "queries", 0, 1, where), count_of(module, "keys", 0, 1, where)};
  if (texts_[texts.queries].empty() || texts_[texts.keys].empty()) throw Error({where, "a text that is there", "the second of one", ""});
  if (heads.empty() || heads.size() > pack_most_heads - heads_.places.size()) throw Error({where, "heads, at most " + std::to_string(pack_most_heads) + " in all", std::to_string(heads.size()), ""});
  heads_.add({word_of(module, "name", where), count_of(module, "block", 0, pack_most_heads, where), heads.size()});
  modules_.push_back(texts);
  for (const Json& head : heads) {
    const Json::Array& scores = list_of(head, "scores", where);
    if (scores.size() != heads_.scores.size()) throw Error({where, std::to_string(heads_.scores.size()) + " scores of a head", std::to_string(scores.size()), ""});
    for (std::size_t s = 0; s < scores.size(); ++s) heads_.scores[s].push_back(scores[s].is_number() ? scores[s].number() : std::nan(""));
    read_map(head, maps_.size());
  }
}

void ViewPack::read_map(const Json& head, std::size_t place) {
  const std::string where = where_ + ": head " + heads_.labels[place];
  const PackShape text{queries(place).size(), keys(place).size(), 0, 8};
  const auto finest = static_cast<unsigned>(count_of(head, "finest", 0, text.whole(), where));
  const std::size_t bits = count_of(head, "bits", 8, 16, where);
  if (bits != 8 && bits != 16) throw Error({where + ": bits", "8 or 16", std::to_string(bits), ""});
  maps_.push_back({finest, static_cast<unsigned>(bits), end_});
  end_ += PackShape{text.queries, text.keys, finest, static_cast<unsigned>(bits)}.bytes();
  if (end_ > bytes_.size()) throw Error({where, "a map", "a file that ends before", "it was cut off"});
}

Tile ViewPack::tile(std::size_t place, unsigned level, std::size_t row, std::size_t column) const {
  VITRINE_CHECK(place < maps_.size());
  const Map& map = maps_[place];
  const PackShape shape{queries(place).size(), keys(place).size(), map.finest, map.bits};
  VITRINE_CHECK(level >= map.finest && level <= shape.whole() && row < shape.tiles(shape.queries, level) && column < shape.tiles(shape.keys, level));
  Tile tile{static_cast<std::size_t>(shape.side(shape.queries, level, row)), static_cast<std::size_t>(shape.side(shape.keys, level, column)), {}, {}};
  std::uint64_t at = map.at + shape.offset(level, row, column);
  const float scales[] = {float_at(bytes_, at), float_at(bytes_, at + 4)};
  at += pack_tile_front;
  const PackCodes codes{map.bits};
  const auto plane = [&](float scale) {
    const std::vector<float> meanings = meanings_of(codes, scale);
    std::vector<float> values(tile.rows * tile.columns);
    for (float& value : values) {
      value = meanings[little_endian(bytes_, at, map.bits / 8)];
      at += map.bits / 8;
    }
    return values;
  };
  tile.largest = plane(scales[0]);
  tile.mean = level == 0 ? tile.largest : plane(scales[1]);
  return tile;
}

}  // namespace vitrine
