#include "probes/hdf5_internal.h"

#include <pthread.h>

#include <array>
#include <limits>
#include <mutex>

#include "core/base/error.h"
#include "core/model/attention.h"
#include "core/model/kv_format.h"

namespace vitrine::h5 {
namespace {

struct Layout {
  std::size_t sign, exponent, exponent_bits, mantissa_bits, bias;
};

Handle small_float(const Layout& layout) {
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  const bool made = H5Tset_fields(type, layout.sign, layout.exponent, layout.exponent_bits, 0, layout.mantissa_bits) >= 0 &&
                    H5Tset_size(type, 2) >= 0 && H5Tset_ebias(type, layout.bias) >= 0;
  VITRINE_CHECK(made);
  return type;
}

/// The bytes of a q8_0 block.
Handle block_of_codes() {
  const DTypeInfo& info = dtype_info(DType::q8_0);
  const hsize_t count = info.block_size;
  const Handle scale = small_float({15, 10, 5, 10, 15}), codes(H5Tarray_create2(H5T_STD_I8LE, 1, &count), H5Tclose);
  Handle type(H5Tcreate(H5T_COMPOUND, info.block_bytes), H5Tclose);
  const bool made = H5Tinsert(type, "scale", info.scale_offset, scale) >= 0 && H5Tinsert(type, "codes", info.block_bytes - count, codes) >= 0;
  VITRINE_CHECK(made);
  return type;
}

struct Scalar {
  hid_t file_type, memory_type;
  const void* value;
};

void write_scalar(hid_t object, const char* name, const Scalar& scalar) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(H5Acreate2(object, name, scalar.file_type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  require(attribute, name, "write an attribute");
  require(H5Awrite(attribute, scalar.memory_type, scalar.value), name, "write an attribute");
}

std::mutex library_mutex;
thread_local int library_depth = 0;  // a recursive mutex could not be unlocked by a forked child, whose thread has another number

void lock_library() {
  if (library_depth++ == 0) library_mutex.lock();
}

void unlock_library() {
  if (--library_depth == 0) library_mutex.unlock();
}

}  // namespace

Library::Library() {
  [[maybe_unused]] static const int at_fork = pthread_atfork(lock_library, unlock_library, unlock_library);
  lock_library();
  // We close what we open. On a full disk the library's own end would try to write the same rows for ever.
  [[maybe_unused]] static const herr_t at_exit = H5dont_atexit();
  [[maybe_unused]] thread_local const herr_t silent = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // each thread has its own
}

Library::~Library() { unlock_library(); }

std::string last_reason() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, [](unsigned, const H5E_error2_t* entry, void* target) {
    auto& found = *static_cast<std::string*>(target);
    if (found.empty() && entry->desc != nullptr) found = entry->desc;
    return herr_t{0};
  }, &text);
  // "file write failed: time = ..., error message = 'No space left on device', buf = ...": the part for people.
  constexpr std::string_view mark = "error message = '";
  const std::size_t begin = text.find(mark);
  if (begin != std::string::npos) {
    const std::size_t end = text.find('\'', begin + mark.size());
    text = text.substr(begin + mark.size(), end - begin - mark.size());
  }
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return text.empty() ? "no reason given" : text;
}

void require(hid_t status, std::string_view where, std::string_view doing) {
  if (status < 0) throw Error({std::string(where), "to " + std::string(doing), last_reason(), ""});
}

Handle file_type(DType type) {
  switch (type) {
    case DType::f32: return {H5Tcopy(H5T_IEEE_F32LE), H5Tclose};
    case DType::f16: return small_float({15, 10, 5, 10, 15});
    case DType::bf16: return small_float({15, 7, 8, 7, 127});
    case DType::i32: return {H5Tcopy(H5T_STD_I32LE), H5Tclose};
    case DType::i64: return {H5Tcopy(H5T_STD_U64LE), H5Tclose};  // offsets and counts: never negative
    case DType::q8_0: return block_of_codes();
    case DType::i8: return {H5Tcopy(H5T_STD_U8LE), H5Tclose};    // bytes of text
    default: break;
  }
  VITRINE_CHECK(!"a type that recordings have");
  return {};
}

std::string_view type_name(hid_t type) {
  struct Named {
    DType type;
    std::string_view name;
  };
  for (const Named& named : {Named{DType::f32, "f32"}, Named{DType::f16, "f16"}, Named{DType::bf16, "bf16"}, Named{DType::q8_0, "int8"},
                             Named{DType::i32, "i32"}, Named{DType::i64, "u64"}, Named{DType::i8, "u8"}}) {
    if (H5Tequal(type, file_type(named.type)) > 0) return named.name;
  }
  return {};
}

Handle access_properties() {
  Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(properties, H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_file_locking(properties, false, true);
  H5Pset_fclose_degree(properties, H5F_CLOSE_STRONG);
  return properties;
}

void write_attribute(hid_t object, const char* name, std::string_view text) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);  // plain h5py gives a str of it
  H5Tset_cset(type, H5T_CSET_UTF8);
  const std::string terminated(text);
  const char* data = terminated.c_str();
  write_scalar(object, name, {type, type, &data});
}

void write_attribute(hid_t object, const char* name, double value) {
  write_scalar(object, name, {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value});
}

void write_attribute(hid_t object, const char* name, std::uint64_t value) {
  write_scalar(object, name, {H5T_STD_U64LE, H5T_NATIVE_UINT64, &value});
}

void write_attribute(hid_t object, const char* name, std::int64_t value) {
  write_scalar(object, name, {H5T_STD_I64LE, H5T_NATIVE_INT64, &value});
}

void create_numbers(hid_t file, const std::string& name, std::span<const hsize_t> shape, std::string_view where) {
  const float none = std::numeric_limits<float>::quiet_NaN();
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose), properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_fill_value(properties, H5T_NATIVE_FLOAT, &none);
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  const Handle dataset(H5Dcreate2(file, name.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
  require(dataset, where, "create " + name);
}

void write_numbers(hid_t file, const std::string& name, hsize_t first, std::span<const float> numbers, std::string_view where) {
  const Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  require(dataset, where, "open " + name);
  const Handle space(H5Dget_space(dataset), H5Sclose);
  std::array<hsize_t, 3> begin{}, count{};
  H5Sget_simple_extent_dims(space, count.data(), nullptr);
  const int rank = H5Sget_simple_extent_ndims(space);
  hsize_t row = 1;
  for (int axis = 1; axis < rank; ++axis) row *= count[static_cast<std::size_t>(axis)];
  begin[0] = first;
  count[0] = numbers.size() / row;
  require(H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, count.data(), nullptr), where, "find rows of " + name);
  const Handle memory(H5Screate_simple(rank, count.data(), nullptr), H5Sclose);
  require(H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, numbers.data()), where, "write " + name);
}

void make_group(hid_t file, const std::string& path, std::string_view where) {
  const Handle properties(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  H5Pset_attr_phase_change(properties, 64, 32);  // a dozen attributes need no heap of their own
  const Handle group(H5Gcreate2(file, path.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT), H5Gclose);
  require(group, where, "create the group " + path);
}

}  // namespace vitrine::h5

namespace vitrine {

void expand_block_rows(DType type, std::size_t width, std::span<const std::byte> rows, float* numbers) {
  const std::size_t bytes = row_bytes(type, kv_head_numbers(type, width));
  const KvView view{.type = type, .rows = rows.data(), .row_bytes = static_cast<std::ptrdiff_t>(bytes), .kv_len = rows.size() / bytes, .kv_heads = 1, .head_dim = width};
  for (std::size_t row = 0; row < view.kv_len; ++row) view.expand(row, 0, numbers + row * width);
}

}  // namespace vitrine
