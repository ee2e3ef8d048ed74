#include <algorithm>
#include <map>

#include "probes/recording_layout_internal.h"
#include "probes/recording_tools/stored_datasets_internal.h"

namespace vitrine {
namespace {

Counted counted_of(const CheckedFile& file, const std::string& name, std::string_view prefix) {
  const std::string_view inner = std::string_view(name).substr(prefix.size());
  if (inner == "/sequences/offset") return Counted::sequences;
  if (inner == "/tokens/bytes") return Counted::text_bytes;
  if (inner == "/tokens/bytes_offset") return Counted::byte_borders;
  if (name.starts_with("/mips/")) return Counted::nothing;  // of squares, or of a side of them
  return file.grows(name) ? Counted::rows : Counted::nothing;
}

Recording::Side side_of(const Recording& recording, const std::string& name) {
  constexpr std::string_view attention = "/attention/";
  if (name.starts_with(std::string(encoder_prefix) + "/")) return Recording::Side::encoder;
  for (const Recording::Dataset& activation : recording.activations()) {
    if (activation.name == name) return activation.side;
  }
  if (!name.starts_with(attention)) return Recording::Side::text;
  const std::size_t end = name.find('/', attention.size());
  const std::string module = name.substr(attention.size(), end - attention.size());
  for (const Recording::Module& each : recording.modules()) {
    if (each.name == module) return name.substr(end) == "/k" ? each.keys : each.queries;
  }
  return Recording::Side::text;
}

}  // namespace

std::string prefix_of(Recording::Side side) { return side == Recording::Side::encoder ? std::string(encoder_prefix) : ""; }

StoredRecording::StoredRecording(const std::filesystem::path& path)
    : recording(Recording::open(path)), file(path.string()), objects(file.objects()) {
  if (file.is_protected()) file.unlock(*secret_of_environment());  // which opened the recording
  std::map<haddr_t, std::string> first_names;
  for (const CheckedFile::Object& object : objects) {
    if (object.is_group) continue;
    StoredDataset dataset{.name = object.name, .info = {}, .side = side_of(*recording, object.name), .same_as = {}};
    dataset.counted = counted_of(file, object.name, dataset.name.starts_with(std::string(encoder_prefix) + "/") ? encoder_prefix : "");
    const auto [first, is_new] = first_names.emplace(object.address, object.name);
    if (!is_new) dataset.same_as = first->second;
    datasets.push_back(std::move(dataset));
    datasets.back().info = file.info(object.name, recording->finished() || datasets.back().counted == Counted::nothing
                                                      ? std::numeric_limits<std::size_t>::max()
                                                      : committed(datasets.back()));
  }
}

const StoredDataset* StoredRecording::find(std::string_view name) const {
  const auto found = std::ranges::find(datasets, name, &StoredDataset::name);
  return found == datasets.end() ? nullptr : &*found;
}

std::size_t StoredRecording::rows(Recording::Side side) const {
  if (side == Recording::Side::encoder && !recording->has_encoder()) return 0;
  const std::size_t sequences = recording->sequences();
  if (sequences == 0) return 0;
  const Recording::Rows last = recording->rows_of(sequences - 1, side);
  return last.begin + last.count;
}

std::size_t StoredRecording::text_bytes(Recording::Side side) const {
  const std::size_t count = rows(side);
  return count == 0 ? 0 : file.read<std::uint64_t>(prefix_of(side) + "/tokens/bytes_offset", {{count}, {1}})[0];
}

std::size_t StoredRecording::committed(const StoredDataset& dataset) const {
  switch (dataset.counted) {
    case Counted::rows:
      return rows(dataset.side);
    case Counted::text_bytes:
      return text_bytes(dataset.side);
    case Counted::byte_borders:
      return rows(dataset.side) + 1;
    case Counted::sequences:
      return recording->sequences() + 1;
    case Counted::nothing:
      break;
  }
  return dataset.info.shape.front();
}

std::size_t entry_numbers(const CheckedFile::Info& info) {
  std::size_t numbers = 1;
  for (std::size_t axis = 1; axis < info.shape.size(); ++axis) numbers *= info.shape[axis];
  return numbers;
}

CheckedFile::Box entries(const CheckedFile::Info& info, std::size_t begin, std::size_t count) {
  CheckedFile::Box box{std::vector<std::size_t>(info.shape.size(), 0), info.shape};
  box.begin[0] = begin;
  box.count[0] = count;
  return box;
}

}  // namespace vitrine
