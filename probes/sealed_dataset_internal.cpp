#include "probes/sealed_dataset_internal.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr H5Z_filter_t seal_filter = 411;  // of the numbers that HDF5 leaves to programs (256 to 511)
constexpr const char* label_name = "sealed_as";

/// The library would pass chunks through here without saying which they are, so nothing could be checked: chunks are sealed
/// and opened around it, and this only makes it refuse.
size_t refuse(unsigned, size_t, const unsigned*, size_t, size_t*, void**) { return 0; }

constexpr H5Z_class2_t filter_class{H5Z_CLASS_T_VERS, seal_filter, 1, 1, "protected by vitrine, which reads it with a key", nullptr, nullptr, refuse};

/// What a chunk's stored bytes have more than its own.
constexpr std::size_t overhead = FileKeys::overhead + sizeof(std::uint64_t);

void append_number(std::string& bound, std::uint64_t value) {
  for (int byte = 0; byte < 8; ++byte) bound += static_cast<char>(value >> 8 * byte & 0xff);
}

void append_text(std::string& bound, std::string_view text) {
  append_number(bound, text.size());
  bound += text;
}

std::size_t product(std::span<const hsize_t> extents) {
  std::size_t size = 1;
  for (const hsize_t extent : extents) size *= extent;
  return size;
}

void append_numbers(std::string& bound, std::span<const hsize_t> numbers) {
  append_number(bound, numbers.size());
  for (const hsize_t number : numbers) append_number(bound, number);
}

std::string bound_of(const FileKeys& keys, const SealPlace& place) {
  std::string bound = "vitrine chunk 1";
  bound.append(reinterpret_cast<const char*>(keys.id().data()), keys.id().size());
  append_text(bound, place.dataset);
  append_text(bound, place.type);
  append_numbers(bound, place.chunk);
  append_numbers(bound, place.width);
  append_numbers(bound, place.offset);
  append_number(bound, place.rows);
  append_number(bound, place.skipped);
  return bound;
}

}  // namespace

std::vector<std::byte> seal_chunk(const FileKeys& keys, const SealPlace& place, std::span<const std::byte> plain) {
  std::vector<std::byte> sealed(plain.size() + overhead);
  std::memcpy(sealed.data(), &place.rows, sizeof place.rows);
  keys.seal(class_of(place.dataset), bound_of(keys, place), plain, std::span(sealed).subspan(sizeof place.rows));
  return sealed;
}

void SealedDataset::mark(hid_t creation_properties) {
  static const herr_t registered = H5Zregister(&filter_class);
  h5::require(registered, "HDF5", "know the filter of protected datasets");
  h5::require(H5Pset_filter(creation_properties, seal_filter, H5Z_FLAG_MANDATORY, 0, nullptr), "HDF5", "mark a dataset as protected");
}

bool SealedDataset::is_marked(hid_t dataset) {
  const h5::Handle properties(H5Dget_create_plist(dataset), H5Pclose);
  const int filters = H5Pget_nfilters(properties);
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, configuration = 0;
    std::size_t values = 0;
    if (H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &configuration) == seal_filter) return true;
  }
  return false;
}

void SealedDataset::label(hid_t dataset, const std::string& name, std::string_view where) {
  h5::write_attribute(dataset, label_name, std::string_view(name));
  h5::require(dataset, where, "label a dataset");
}

std::string SealedDataset::label_of(hid_t dataset, std::string_view where) {
  const h5::Handle attribute(H5Aopen(dataset, label_name, H5P_DEFAULT), H5Aclose);
  const h5::Handle type(H5Aget_type(attribute), H5Tclose), memory(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(memory, H5T_VARIABLE);
  H5Tset_cset(memory, H5T_CSET_UTF8);
  char* text = nullptr;
  if (!attribute.valid() || H5Tis_variable_str(type) <= 0 || H5Aread(attribute, memory, &text) < 0 || text == nullptr) {
    throw Error({std::string(where), "the name that it was protected under", "none", "the recording is damaged or was changed"});
  }
  std::string name(text);
  H5free_memory(text);
  return name;
}

SealedDataset::SealedDataset(hid_t dataset, const FileKeys& keys, std::string where) : dataset_(dataset), keys_(keys), where_(std::move(where)) {
  name_ = label_of(dataset, where_);
  class_ = class_of(name_);
  if (!keys.opens(class_)) {
    throw Error({where_, "a key of the role " + std::string(reader_role_name(reader_role_for(class_))), "one of " + std::string(reader_role_name(keys.role())),
                 "who has such a key can add it: `vitrine key grant`"});
  }
  const h5::Handle type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose), properties(H5Dget_create_plist(dataset), H5Pclose);
  rank_ = static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_dims(space, extents_.data(), nullptr)));
  if (rank_ == 0 || H5Pget_chunk(properties, static_cast<int>(rank_), chunk_.data()) != static_cast<int>(rank_) || product(chunk()) == 0) {
    throw Error({where_, "a protected dataset in chunks", "another kind", "the recording is damaged or was changed"});
  }
  type_ = H5Tequal(type, H5T_IEEE_F64LE) > 0 ? "f64" : h5::type_name(type);
}

/// A dataset in memory with the same type, shape and other filters, so that the library itself undoes those, converts and cuts.
h5::Handle SealedDataset::shadow(hid_t file) const {
  const h5::Handle type(H5Dget_type(dataset_), H5Tclose), own(H5Dget_create_plist(dataset_), H5Pclose), properties(H5Pcopy(own), H5Pclose),
      access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose), space(H5Dget_space(dataset_), H5Sclose);
  H5Premove_filter(properties, seal_filter);
  H5Pset_chunk_cache(access, 0, 0, 1.0);
  h5::Handle result(H5Dcreate2(file, "numbers", type, space, H5P_DEFAULT, properties, access), H5Dclose);
  h5::require(result, where_, "make room for what is opened");
  return result;
}

/// Opens the chunk at `offset`, which must hold at least `rows` rows.
void SealedDataset::copy_chunk(std::span<const hsize_t> offset, std::size_t rows, hid_t target) {
  const auto fail = [&](std::string found) {
    std::string place;
    for (const hsize_t at : offset) place += (place.empty() ? "" : ", ") + std::to_string(at);
    throw Error({where_ + ", chunk at [" + place + "]", "what was recorded", std::move(found), "the recording is damaged or was changed"});
  };
  hsize_t size = 0;
  if (H5Dget_chunk_storage_size(dataset_, offset.data(), &size) < 0 || size < overhead) fail("nothing");
  const h5::Handle type(H5Dget_type(dataset_), H5Tclose);
  const std::size_t whole = product(chunk()) * H5Tget_size(type);
  if (size > whole + whole / 8 + overhead + 4096) fail("more bytes than it can have");
  sealed_.resize(size);
  plain_.resize(size - overhead);
  std::uint32_t filters = 0;
  if (H5Dread_chunk(dataset_, H5P_DEFAULT, offset.data(), &filters, sealed_.data()) < 0) fail("unreadable bytes");
  SealPlace place{.dataset = name_, .type = type_, .chunk = chunk(), .width = {extents_.data() + 1, rank_ - 1}, .offset = offset, .skipped = filters};
  std::memcpy(&place.rows, sealed_.data(), sizeof place.rows);
  if (!keys_.open(class_, bound_of(keys_, place), std::span(sealed_).subspan(sizeof place.rows), plain_)) fail("other bytes");
  if (place.rows < rows) fail("an older state of it, with " + std::to_string(place.rows) + " of " + std::to_string(rows) + " rows");
  h5::require(H5Dwrite_chunk(target, H5P_DEFAULT, filters, offset.data(), plain_.size(), plain_.data()), where_, "read a chunk");
}

void SealedDataset::read(const Box& box, hid_t memory_type, void* values) {
  VITRINE_CHECK(box.begin.size() == rank_ && box.count.size() == rank_);
  const h5::Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access, std::size_t{1} << 20, false);
  const h5::Handle file(H5Fcreate("memory", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
  h5::require(file, where_, "make room for what is opened");
  const h5::Handle numbers = shadow(file);
  Extents first{}, at{};
  for (std::size_t axis = 0; axis < rank_; ++axis) first[axis] = at[axis] = box.begin[axis] / chunk_[axis] * chunk_[axis];
  for (bool more = true; more;) {
    copy_chunk({at.data(), rank_}, std::min<std::size_t>(chunk_[0], box.begin[0] + box.count[0] - at[0]), numbers);
    more = false;
    for (std::size_t axis = rank_; axis-- > 0 && !more;) {  // counts up, the last axis fastest
      at[axis] += chunk_[axis];
      more = at[axis] < box.begin[axis] + box.count[axis];
      if (!more) at[axis] = first[axis];
    }
  }
  const h5::Handle space(H5Dget_space(numbers), H5Sclose), memory(H5Screate_simple(static_cast<int>(rank_), box.count.data(), nullptr), H5Sclose);
  h5::require(H5Sselect_hyperslab(space, H5S_SELECT_SET, box.begin.data(), nullptr, box.count.data(), nullptr), where_, "find rows");
  h5::require(H5Dread(numbers, memory_type, memory, space, H5P_DEFAULT, values), where_, "read rows");
}

}  // namespace vitrine
