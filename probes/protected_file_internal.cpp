#include "probes/protected_file_internal.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "core/base/error.h"
#include "probes/sealed_dataset_internal.h"

namespace vitrine {
namespace {

constexpr const char *readers_name = "/protection/readers", *commits_name = "/protection/commits", *id_name = "file_id";
constexpr std::size_t record_bytes = sizeof(CommitRecord) + FileKeys::overhead, record_places = 2;
constexpr std::size_t longest_attribute = std::size_t{1} << 22, largest_plain = std::size_t{1} << 28;  // bytes

/// [rows, bytes] of u8, zero, in one piece of the file.
void create_table(hid_t file, const char* name, std::size_t rows, std::size_t bytes, std::string_view where) {
  const hsize_t shape[] = {rows, bytes};
  const h5::Handle space(H5Screate_simple(2, shape, nullptr), H5Sclose), properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  const h5::Handle dataset(H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
  h5::require(dataset, where, "create a dataset");
}

void write_row(hid_t file, const char* name, std::size_t row, std::span<const std::byte> bytes, std::string_view where) {
  const h5::Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  h5::require(dataset, where, "open a dataset");
  const hsize_t begin[] = {row, 0}, count[] = {1, bytes.size()};
  const h5::Handle space(H5Dget_space(dataset), H5Sclose), memory(H5Screate_simple(2, count, nullptr), H5Sclose);
  h5::require(H5Sselect_hyperslab(space, H5S_SELECT_SET, begin, nullptr, count, nullptr), where, "find a row");
  h5::require(H5Dwrite(dataset, H5T_NATIVE_UINT8, memory, space, H5P_DEFAULT, bytes.data()), where, "write a row");
  h5::require(H5Dflush(dataset), where, "write to the disk");
}

/// All rows of a table that create_table() made.
std::vector<std::byte> read_table(hid_t file, const char* name, std::size_t rows, std::size_t bytes, const std::string& where) {
  const h5::Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose), space(H5Dget_space(dataset), H5Sclose), type(H5Dget_type(dataset), H5Tclose);
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  std::vector<std::byte> table(rows * bytes);
  if (!dataset.valid() || H5Sget_simple_extent_dims(space, extents.data(), nullptr) != 2 || extents[0] != rows || extents[1] != bytes ||
      H5Tequal(type, H5T_STD_U8LE) <= 0 || H5Dread(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, table.data()) < 0) {
    throw Error({where + ", " + name, "[" + std::to_string(rows) + ", " + std::to_string(bytes) + "] bytes", "something else", "the recording is damaged or was changed"});
  }
  return table;
}

std::string bound_of_commit(const FileKeys& keys, std::size_t place) {
  return "vitrine commit 1 " + hex_of(keys.id()) + " " + std::to_string(place);
}

std::string bound_of_text(const FileKeys& keys, std::string_view name) { return "vitrine text 1 " + hex_of(keys.id()) + " " + std::string(name); }

/// Collects what the digest is of, piece by piece with its length before it.
class Message {
 public:
  void add(std::string_view piece) { text_ += std::to_string(piece.size()) + ":" + std::string(piece); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// The value of an attribute as bytes: numbers as they are stored, texts as they read.
std::string attribute_bytes(hid_t attribute) {
  const h5::Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
  const hssize_t points = H5Sget_simple_extent_npoints(space);
  const std::size_t size = H5Tget_size(type);
  if (points <= 0 || size * static_cast<std::size_t>(points) > longest_attribute) return "?";
  std::string bytes(size * static_cast<std::size_t>(points), '\0');
  if (H5Aread(attribute, type, bytes.data()) < 0) return "?";
  if (H5Tis_variable_str(type) <= 0) return H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tget_class(type) == H5T_REFERENCE ? "?" : bytes;
  Message texts;
  for (hssize_t i = 0; i < points; ++i) {
    const char* text = nullptr;
    std::memcpy(&text, bytes.data() + static_cast<std::size_t>(i) * sizeof text, sizeof text);
    texts.add(text != nullptr ? text : "");
  }
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, bytes.data());
  return texts.text();
}

void add_attributes(hid_t object, Message& message) {
  std::map<std::string, std::string> attributes;
  H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, [](hid_t owner, const char* name, const H5A_info_t*, void* target) {
    const h5::Handle attribute(H5Aopen(owner, name, H5P_DEFAULT), H5Aclose);
    // That a file is finished is said last, and again in its commit record.
    if (std::string_view(name) != "finished") static_cast<std::map<std::string, std::string>*>(target)->emplace(name, attribute_bytes(attribute));
    return herr_t{0};
  }, &attributes);
  for (const auto& [name, value] : attributes) {
    message.add(name);
    message.add(value);
  }
}

/// The bytes of a dataset that is not sealed.
void add_numbers(hid_t dataset, Message& message) {
  const h5::Handle type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose);
  const hssize_t points = H5Sget_simple_extent_npoints(space);
  const std::size_t bytes = H5Tget_size(type) * static_cast<std::size_t>(std::max<hssize_t>(points, 0));
  if (bytes > largest_plain || H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0) return message.add("?");
  std::string numbers(bytes, '\0');
  if (bytes > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()) < 0) numbers = "?";
  message.add(numbers);
}

}  // namespace

void create_protection(hid_t file, const FileKeys& keys, std::span<const Reader> readers, std::string_view where) {
  if (readers.empty() || readers.size() > most_readers) {
    throw Error({std::string(where), "1 to " + std::to_string(most_readers) + " readers", std::to_string(readers.size()), ""}, Fault::usage);
  }
  h5::make_group(file, protection_group, where);
  const h5::Handle group(H5Gopen2(file, protection_group, H5P_DEFAULT), H5Gclose);
  h5::write_attribute(group, "version", protection_version);
  h5::write_attribute(group, id_name, std::string_view(hex_of(keys.id())));
  create_table(file, readers_name, most_readers, FileKeys::wrapped_bytes, where);
  create_table(file, commits_name, record_places, record_bytes, where);
  std::vector<FileKeys::Wrapped> written;
  for (const Reader& reader : readers) {
    const auto is_theirs = [&](const FileKeys::Wrapped& each) { return FileKeys::unwrap(keys.id(), each, *reader.secret).has_value(); };
    if (std::ranges::any_of(written, is_theirs)) throw Error({std::string(where), "each key once: it reads by one role", "a key twice", "give the role that reaches furthest"}, Fault::usage);
    written.push_back(keys.wrap(reader));
    write_reader(file, written.size() - 1, written.back(), where);
  }
}

bool is_protected(hid_t file) { return H5Lexists(file, protection_group, H5P_DEFAULT) > 0; }

FileKeys::Id file_id(hid_t file, const std::string& where) {
  const h5::Handle attribute(H5Aopen_by_name(file, protection_group, id_name, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  FileKeys::Id id{};
  const std::string text = attribute.valid() ? attribute_bytes(attribute) : "";  // "32:<hex>"
  if (!bytes_of_hex(std::string_view(text).substr(std::min(text.size(), text.find(':') + 1)), id)) throw Error({where + ", " + protection_group, "the attribute file_id", "none", "the recording is damaged or was changed"});
  return id;
}

std::vector<FileKeys::Wrapped> read_readers(hid_t file, const std::string& where) {
  const std::vector<std::byte> table = read_table(file, readers_name, most_readers, FileKeys::wrapped_bytes, where);
  std::vector<FileKeys::Wrapped> readers(most_readers);
  for (std::size_t i = 0; i < most_readers; ++i) std::memcpy(readers[i].data(), table.data() + i * FileKeys::wrapped_bytes, FileKeys::wrapped_bytes);
  return readers;
}

void write_reader(hid_t file, std::size_t place, const FileKeys::Wrapped& wrapped, std::string_view where) {
  write_row(file, readers_name, place, wrapped, where);
}

FileKeys unlock(hid_t file, const ReaderSecret& secret, const std::string& where) {
  const FileKeys::Id id = file_id(file, where);
  for (const FileKeys::Wrapped& wrapped : read_readers(file, where)) {
    if (!FileKeys::is_reader(wrapped)) continue;
    if (std::optional<FileKeys> keys = FileKeys::unwrap(id, wrapped, secret)) return std::move(*keys);
  }
  const bool key = secret.kind() == ReaderSecret::Kind::key;
  throw Error({where, key ? "the key of one of its readers" : "the passphrase of one of its readers", "another", ""});
}

std::array<std::byte, 32> structure_digest(hid_t file, const FileKeys& keys, bool finished) {
  struct Walk {
    Message message;
    bool finished;
    std::map<std::string, int> names;
  } walk{{}, finished, {}};
  // By links, not by objects: a name that leads to another object than it did is a change.
  H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, [](hid_t, const char* name, const H5L_info_t* link, void* target) {
    static_cast<Walk*>(target)->names.emplace(name, link->type);
    return herr_t{0};
  }, &walk);
  add_attributes(file, walk.message);
  const std::string_view own = std::string_view(protection_group).substr(1);
  for (const auto& [name, kind] : walk.names) {
    walk.message.add(name);
    const h5::Handle object(kind == H5L_TYPE_HARD ? H5Oopen(file, name.c_str(), H5P_DEFAULT) : -1, H5Oclose);
    if (!object.valid()) {
      walk.message.add("?");
      continue;
    }
    add_attributes(object, walk.message);
    const bool dataset = H5Iget_type(object) == H5I_DATASET;
    walk.message.add(!dataset ? "group" : SealedDataset::is_marked(object) ? "sealed" : "plain");
    if (dataset && finished && !SealedDataset::is_marked(object) && !name.starts_with(own)) add_numbers(object, walk.message);
  }
  return keys.authenticate("vitrine structure 1 " + walk.message.text());
}

void write_commit(hid_t file, const FileKeys& keys, const CommitRecord& record, std::string_view where) {
  const std::size_t place = record.number % record_places;
  std::array<std::byte, record_bytes> sealed{};
  keys.seal(DataClass::summaries, bound_of_commit(keys, place), std::as_bytes(std::span(&record, 1)), sealed);
  write_row(file, commits_name, place, sealed, where);
}

CommitRecord read_commit(hid_t file, const FileKeys& keys, const std::string& where) {
  const std::vector<std::byte> table = read_table(file, commits_name, record_places, record_bytes, where);
  std::optional<CommitRecord> newest;
  for (std::size_t place = 0; place < record_places; ++place) {
    CommitRecord record;
    const auto sealed = std::span(table).subspan(place * record_bytes, record_bytes);
    if (!keys.open(DataClass::summaries, bound_of_commit(keys, place), sealed, std::as_writable_bytes(std::span(&record, 1)))) continue;
    if (!newest || record.number > newest->number) newest = record;
  }
  if (!newest) throw Error({where + ", " + commits_name, "a record of what is complete", "none that this recording's writer made", "the recording is damaged or was changed"});
  return *newest;
}

std::string sealed_text(const FileKeys& keys, std::string_view name, std::string_view text) {
  std::vector<std::byte> sealed(text.size() + FileKeys::overhead);
  keys.seal(DataClass::text, bound_of_text(keys, name), std::as_bytes(std::span(text)), sealed);
  return hex_of(sealed);
}

std::string opened_text(const FileKeys& keys, std::string_view name, std::string_view sealed, const std::string& where) {
  std::vector<std::byte> bytes(sealed.size() / 2);
  const bool whole = bytes.size() >= FileKeys::overhead && bytes_of_hex(sealed, bytes);
  std::string text(whole ? bytes.size() - FileKeys::overhead : 0, '\0');
  if (!whole || !keys.open(DataClass::text, bound_of_text(keys, name), bytes, std::as_writable_bytes(std::span(text)))) {
    throw Error({where + ", " + std::string(name), "what was recorded", "other bytes", "the recording is damaged or was changed"});
  }
  return text;
}

}  // namespace vitrine
