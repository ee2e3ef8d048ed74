#pragma once

#include <hdf5.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tensor/dtype.h"

// What the recorder and the recording share of HDF5: handles that close themselves, types, small reads and writes.

namespace vitrine::h5 {

/// Holds the library: builds differ in whether several threads may be in it, and a fork must not copy it in the middle of
/// a call: it waits here. May be held again by the thread that holds it, and the library prints nothing on it.
class Library {
 public:
  Library();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

/// An HDF5 identifier that closes itself.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    reset();
    id_ = std::exchange(other.id_, -1);
    close_ = other.close_;
    return *this;
  }
  ~Handle() { reset(); }
  /// Closes; false where the library could not (a full disk shows here at the latest).
  bool reset() {
    const hid_t id = std::exchange(id_, -1);
    return id < 0 || close_(id) >= 0;
  }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// The deepest reason the library gives for its last failure ("No space left on device").
std::string last_reason();
/// @throws Error naming the file, what was tried and the library's reason, where `status` is negative
void require(hid_t status, std::string_view where, std::string_view doing);

/// Memory and file type of a stored type; bf16 is a custom 16-bit float that plain h5py reads, int8 (q8_0) a pair of `scale`
/// and 32 `codes`.
Handle file_type(DType type);
/// Empty string where this program stores no such type.
std::string_view type_name(hid_t type);

/// File access of a writer or reader: V110 bounds, no file locks.
Handle access_properties();

void write_attribute(hid_t object, const char* name, std::string_view text);
void write_attribute(hid_t object, const char* name, double value);
void write_attribute(hid_t object, const char* name, std::uint64_t value);
void write_attribute(hid_t object, const char* name, std::int64_t value);
/// A dataset of f32 whose shape stays: not numbers until they are written, which may be while the file is in SWMR mode.
void create_numbers(hid_t file, const std::string& name, std::span<const hsize_t> shape, std::string_view where);
/// Rows [first, first + rows) of the first axis. @param numbers  [rows, ...]
void write_numbers(hid_t file, const std::string& name, hsize_t first, std::span<const float> numbers, std::string_view where);

/// Creates a group below one that exists.
void make_group(hid_t file, const std::string& path, std::string_view where);

}  // namespace vitrine::h5

namespace vitrine {

/// Rows of whole blocks to numbers. @param rows  one behind the other  @param numbers  [rows, width]
void expand_block_rows(DType type, std::size_t width, std::span<const std::byte> rows, float* numbers);

}  // namespace vitrine
