#include "probes/checked_file_internal.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "probes/sealed_dataset_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t longest_text = std::size_t{1} << 20;
constexpr std::size_t most_compressed = 1032;  // times that deflate makes anything smaller (zlib's technical notes)
constexpr std::size_t most_members = 100000, deepest_group = 8;

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (const std::size_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

}  // namespace

CheckedFile::CheckedFile(std::string path) : path_(std::move(path)) {
  const h5::Library library;
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path_, ignored)) throw Error({path_, "a recording", "no such file", "see `vitrine record`"});
  const h5::Handle access = h5::access_properties();
  // A file that is being written, or whose writer was killed, opens only so.
  for (const unsigned flags : {H5F_ACC_RDONLY, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ}) {
    file_ = {H5Fopen(path_.c_str(), flags, access), H5Fclose};
    if (file_.valid()) return;
  }
  throw Error({path_, "an HDF5 file", h5::last_reason(), "make it anew with `vitrine record`"});
}

CheckedFile::~CheckedFile() {
  const h5::Library library;
  file_.reset();
}

bool CheckedFile::is_protected() const {
  const h5::Library library;
  return vitrine::is_protected(file_);
}

void CheckedFile::unlock(const ReaderSecret& secret) {
  const h5::Library library;
  keys_ = vitrine::unlock(file_, secret, path_);
  commit_ = read_commit(file_, *keys_, path_);
  const bool closed = count("/", "finished", 1) == 1;
  if (closed && commit_.finished != 1) fail("/", "the attribute finished that its writer left", "another");
  if (structure_digest(file_, *keys_, commit_.finished == 1) != commit_.digest) fail("/", "names, links and attributes as they were recorded", "others");
}

void CheckedFile::fail(const std::string& object, std::string expected, std::string found) const {
  throw Error({path_ + ", " + object, std::move(expected), std::move(found), "the recording is damaged or of another kind"});
}

bool CheckedFile::has(const std::string& name) const {
  const h5::Library library;
  if (name == "/") return true;
  for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    if (H5Lexists(file_, name.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
    if (end == std::string::npos) return true;
  }
}

std::vector<std::string> CheckedFile::members(const std::string& group) const {
  const h5::Library library;
  std::vector<std::string> names;
  if (!has(group)) return names;
  const h5::Handle object(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), H5Gclose);
  if (!object.valid()) fail(group, "a group", "something else");
  const herr_t status = H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, nullptr,
                                   [](hid_t, const char* name, const H5L_info_t* link, void* target) {
                                     auto& found = *static_cast<std::vector<std::string>*>(target);
                                     // Soft and external links could lead anywhere: a recording has none.
                                     if (link->type != H5L_TYPE_HARD || found.size() >= most_members) return herr_t{-1};
                                     found.emplace_back(name);
                                     return herr_t{0};
                                   }, &names);
  if (status < 0) fail(group, "plain members", "a link to elsewhere, or a broken group");
  std::sort(names.begin(), names.end());
  return names;
}

void CheckedFile::add_objects(const std::string& group, std::size_t depth, std::vector<Object>& objects) const {
  for (const std::string& member : members(group)) {
    const std::string name = (group == "/" ? "/" : group + "/") + member;
    H5O_info_t info;
    if (H5Oget_info_by_name2(file_, name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0) fail(name, "an object", h5::last_reason());
    if (info.type != H5O_TYPE_GROUP && info.type != H5O_TYPE_DATASET) fail(name, "a group or a dataset", "another kind of object");
    if (objects.size() >= most_members) fail(name, "at most " + std::to_string(most_members) + " objects", "more");
    objects.push_back({name, info.type == H5O_TYPE_GROUP, info.addr});
    if (!objects.back().is_group) continue;
    if (depth == deepest_group) fail(name, "groups " + std::to_string(deepest_group) + " deep", "deeper ones");
    add_objects(name, depth + 1, objects);
  }
}

std::vector<CheckedFile::Object> CheckedFile::objects() const {
  const h5::Library library;
  std::vector<Object> objects;
  add_objects("/", 1, objects);
  return objects;
}

bool CheckedFile::grows(const std::string& name) const {
  const h5::Library library;
  const h5::Handle dataset = open_dataset(name), space(H5Dget_space(dataset), H5Sclose);
  std::array<hsize_t, H5S_MAX_RANK> extents{}, most{};
  return H5Sget_simple_extent_dims(space, extents.data(), most.data()) > 0 && most[0] == H5S_UNLIMITED;
}

h5::Handle CheckedFile::open_dataset(const std::string& name) const {
  if (!has(name)) fail(name, "a dataset", "nothing");
  h5::Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.valid()) fail(name, "a dataset", h5::last_reason());
  return dataset;
}

CheckedFile::Info CheckedFile::info(const std::string& name, std::size_t rows) const {
  const h5::Library library;
  const h5::Handle dataset = open_dataset(name);
  const h5::Handle type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose),
      properties(H5Dget_create_plist(dataset), H5Pclose);
  if (!type.valid() || !space.valid() || !properties.valid()) fail(name, "a whole header", h5::last_reason());
  Info info;
  info.type = H5Tequal(type, H5T_IEEE_F64LE) > 0 ? "f64" : std::string(h5::type_name(type));
  if (info.type.empty()) fail(name, "one of f32, f16, bf16, int8, f64, i32, u64, u8", "another type");
  const H5D_layout_t layout = H5Pget_layout(properties);
  if (layout == H5D_VIRTUAL || H5Pget_external_count(properties) > 0) fail(name, "numbers in this file", "numbers elsewhere");
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  if (rank < 1 || rank > 3) fail(name, "1 to 3 axes", std::to_string(rank));
  info.bytes = H5Tget_size(type);
  for (int axis = 0; axis < rank; ++axis) {
    const std::size_t extent = extents[static_cast<std::size_t>(axis)];
    info.shape.push_back(axis == 0 ? std::min(extent, rows) : extent);
    if (__builtin_mul_overflow(info.bytes, info.shape.back(), &info.bytes)) fail(name, "a size that exists", shape_text(info.shape));
  }
  const std::size_t stored = H5Dget_storage_size(dataset), most = H5Pget_nfilters(properties) == 0 ? 1 : most_compressed;
  if (stored < info.bytes / most) fail(name, std::to_string(info.bytes) + " bytes", "what " + std::to_string(stored) + " bytes can hold");
  if (info.type == "int8") info.shape.back() = width_of_codes(name, info.shape.back());
  return info;
}

void CheckedFile::walk_chunks(const std::string& name) const {
  const h5::Library library;
  const h5::Handle dataset = open_dataset(name), space(H5Dget_space(dataset), H5Sclose),
                   properties(H5Dget_create_plist(dataset), H5Pclose);
  if (H5Pget_layout(properties) != H5D_CHUNKED) return;
  hsize_t chunks = 0;
  if (H5Dget_num_chunks(dataset, space, &chunks) < 0) fail(name, "an index of chunks", h5::last_reason());
  std::error_code ignored;
  const std::uint64_t file_bytes = std::filesystem::file_size(path_, ignored);
  for (hsize_t chunk = 0; chunk < std::min<hsize_t>(chunks, 4096); ++chunk) {
    std::array<hsize_t, H5S_MAX_RANK> offset{};
    unsigned filters = 0;
    haddr_t address = 0;
    hsize_t size = 0;
    if (H5Dget_chunk_info(dataset, space, chunk, offset.data(), &filters, &address, &size) < 0 || address > file_bytes ||
        size > file_bytes - address) {
      fail(name, "chunks inside the file", "chunk " + std::to_string(chunk) + " outside");
    }
  }
}

h5::Handle CheckedFile::open_attribute(const std::string& object, const char* name) const {
  if (!has(object) || H5Aexists_by_name(file_, object.c_str(), name, H5P_DEFAULT) <= 0) {
    fail(object, std::string("the attribute ") + name, "none");
  }
  h5::Handle attribute(H5Aopen_by_name(file_, object.c_str(), name, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute.valid()) fail(object, std::string("the attribute ") + name, h5::last_reason());
  const h5::Handle space(H5Aget_space(attribute), H5Sclose);
  if (H5Sget_simple_extent_npoints(space) != 1) fail(object, std::string("one value in ") + name, "another number of values");
  return attribute;
}

std::string CheckedFile::text(const std::string& object, const char* name) const {
  const h5::Library library;
  const h5::Handle attribute = open_attribute(object, name), type(H5Aget_type(attribute), H5Tclose);
  if (H5Tget_class(type) != H5T_STRING) fail(object, std::string("text in ") + name, "another type");
  if (H5Tis_variable_str(type) > 0) {
    const h5::Handle memory(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(type));
    char* data = nullptr;
    if (H5Aread(attribute, memory, &data) < 0 || data == nullptr) fail(object, std::string("text in ") + name, h5::last_reason());
    const std::string value(data, std::min(std::char_traits<char>::length(data), longest_text));
    H5free_memory(data);
    return value;
  }
  const std::size_t size = H5Tget_size(type);
  if (size > longest_text) fail(object, "at most 1 MiB of text in " + std::string(name), std::to_string(size));
  std::string value(size, '\0');
  if (H5Aread(attribute, type, value.data()) < 0) fail(object, std::string("text in ") + name, h5::last_reason());
  return value.substr(0, value.find('\0'));
}

std::uint64_t CheckedFile::count(const std::string& object, const char* name, std::uint64_t most) const {
  const h5::Library library;
  const h5::Handle attribute = open_attribute(object, name), type(H5Aget_type(attribute), H5Tclose);
  std::uint64_t value = 0;
  if (H5Tget_class(type) != H5T_INTEGER || H5Aread(attribute, H5T_NATIVE_UINT64, &value) < 0) {
    fail(object, std::string("a whole number in ") + name, "another type");
  }
  if (value > most) fail(object, std::string(name) + " of at most " + std::to_string(most), std::to_string(value));
  return value;
}

std::uint64_t CheckedFile::count_if_there(const std::string& object, const char* name, std::uint64_t most) const {
  {
    const h5::Library library;
    if (H5Aexists_by_name(file_, object.c_str(), name, H5P_DEFAULT) <= 0) return 0;
  }
  return count(object, name, most);
}

std::int64_t CheckedFile::whole(const std::string& object, const char* name, std::int64_t most) const {
  const h5::Library library;
  const h5::Handle attribute = open_attribute(object, name), type(H5Aget_type(attribute), H5Tclose);
  std::int64_t value = 0;
  if (H5Tget_class(type) != H5T_INTEGER || H5Aread(attribute, H5T_NATIVE_INT64, &value) < 0) {
    fail(object, std::string("a whole number in ") + name, "another type");
  }
  if (value > most || value < -most) fail(object, std::string(name) + " of at most " + std::to_string(most), std::to_string(value));
  return value;
}

double CheckedFile::number(const std::string& object, const char* name) const {
  const h5::Library library;
  const h5::Handle attribute = open_attribute(object, name), type(H5Aget_type(attribute), H5Tclose);
  double value = 0.0;
  if (H5Tget_class(type) != H5T_FLOAT || H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0) {
    fail(object, std::string("a number in ") + name, "another type");
  }
  return value;
}

std::vector<std::string> CheckedFile::labels(const std::string& name) const {
  const h5::Library library;
  if (H5Aexists_by_name(file_, name.c_str(), "DIMENSION_LABELS", H5P_DEFAULT) <= 0) return {};
  const h5::Handle attribute(H5Aopen_by_name(file_, name.c_str(), "DIMENSION_LABELS", H5P_DEFAULT, H5P_DEFAULT), H5Aclose),
      type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  if (count < 0 || count > H5S_MAX_RANK || H5Tis_variable_str(type) <= 0) return {};
  std::vector<char*> texts(static_cast<std::size_t>(count));
  if (H5Aread(attribute, type, texts.data()) < 0) fail(name, "texts in DIMENSION_LABELS", h5::last_reason());
  std::vector<std::string> labels;
  for (const char* text : texts) labels.emplace_back(text == nullptr ? "" : text);
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts.data());
  return labels;
}

std::vector<std::byte> CheckedFile::stored(const std::string& name, std::size_t begin, std::size_t count) const {
  const h5::Library library;
  const h5::Handle dataset = open_dataset(name), type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose);
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  if (rank < 1) fail(name, "axes", "none");
  Box box{std::vector<std::size_t>(static_cast<std::size_t>(rank), 0), {extents.begin(), extents.begin() + rank}};
  box.begin[0] = begin;
  box.count[0] = count;
  std::size_t bytes = H5Tget_size(type);
  for (const std::size_t extent : box.count) bytes *= extent;
  std::vector<std::byte> values(bytes);
  if (bytes > 0) read_box(name, box, type, values.data());
  return values;
}

std::size_t CheckedFile::width_of_codes(const std::string& name, std::size_t blocks) const {
  const std::size_t block = dtype_info(DType::q8_0).block_size, width = count(name, "width", std::numeric_limits<std::uint32_t>::max());
  if ((width + block - 1) / block != blocks) fail(name, std::to_string(width) + " numbers a row, as its attribute says", std::to_string(blocks) + " blocks of 32");
  return width;
}

void CheckedFile::read_codes(const std::string& name, const Box& box, float* values) const {
  const DTypeInfo& codes = dtype_info(DType::q8_0);
  const std::size_t first = box.begin.back(), count = box.count.back(), begin = first / codes.block_size;
  Box blocks = box;
  blocks.begin.back() = begin;
  blocks.count.back() = (first + count + codes.block_size - 1) / codes.block_size - begin;
  std::size_t rows = 1;
  for (std::size_t axis = 0; axis + 1 < box.count.size(); ++axis) rows *= box.count[axis];
  const std::size_t width = blocks.count.back() * codes.block_size;
  std::vector<std::byte> stored(rows * blocks.count.back() * codes.block_bytes);
  read_box(name, blocks, h5::file_type(DType::q8_0), stored.data());
  std::vector<float> numbers(rows * width);
  expand_block_rows(DType::q8_0, width, stored, numbers.data());
  for (std::size_t row = 0; row < rows; ++row) {
    std::copy_n(numbers.data() + row * width + (first - begin * codes.block_size), count, values + row * count);
  }
}

/// The library takes 60 ns to widen a number of 16 bits.
void CheckedFile::read_halves(const std::string& name, const Box& box, DType type, float* values) const {
  std::size_t count = 1;
  for (const std::size_t extent : box.count) count *= extent;
  std::vector<std::byte> stored(count * sizeof(std::uint16_t));
  read_box(name, box, h5::file_type(type), stored.data());
  dtype_info(type).expand(stored.data(), values, count);
}

void CheckedFile::read_box(const std::string& name, const Box& box, hid_t type, void* values) const {
  const h5::Library library;
  const h5::Handle dataset = open_dataset(name), space(H5Dget_space(dataset), H5Sclose), stored(H5Dget_type(dataset), H5Tclose);
  if (H5Tget_class(stored) != H5T_INTEGER && H5Tequal(type, H5T_NATIVE_FLOAT) > 0) {
    if (H5Tget_class(stored) == H5T_COMPOUND) return read_codes(name, box, static_cast<float*>(values));
    for (const DType half : {DType::f16, DType::bf16}) {
      if (H5Tequal(stored, h5::file_type(half)) > 0) return read_halves(name, box, half, static_cast<float*>(values));
    }
  }
  const std::vector<hsize_t> begin(box.begin.begin(), box.begin.end()), count(box.count.begin(), box.count.end());
  if (SealedDataset::is_marked(dataset)) {
    if (H5Sget_simple_extent_ndims(space) != static_cast<int>(count.size())) fail(name, "readable numbers", "another shape");
    if (!keys_) fail(name, "a recording that is protected as a whole", "one dataset that is");
    SealedDataset(dataset, *keys_, path_ + ", " + name).read({begin, count}, type, values);
    read_.insert(name);
    return;
  }
  const h5::Handle memory(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), H5Sclose);
  if (H5Sget_simple_extent_ndims(space) != static_cast<int>(count.size()) ||
      H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, count.data(), nullptr) < 0 ||
      H5Sselect_valid(space) <= 0 || H5Dread(dataset, type, memory, space, H5P_DEFAULT, values) < 0) {
    fail(name, "readable numbers", h5::last_reason());
  }
}

}  // namespace vitrine
