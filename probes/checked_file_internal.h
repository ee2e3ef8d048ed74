#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/hdf5_internal.h"

namespace vitrine {

/// A stranger's HDF5 file: nothing is believed before it was checked, every error names file, dataset, expected, found.
/// Each call holds the library, so a recording may be read while another is written.
class CheckedFile {
 public:
  explicit CheckedFile(std::string path);
  ~CheckedFile();

  struct Info {
    std::string type;                ///< "f32", "f16", "bf16", "i32", "u64", "u8", "f64"
    std::vector<std::size_t> shape;
    std::size_t bytes = 0;           ///< of the numbers
  };

  const std::string& path() const { return path_; }
  bool has(const std::string& name) const;
  /// Names of the hard links in a group, sorted; none where there is no such group.
  std::vector<std::string> members(const std::string& group) const;
  /// Rank, type and storage are those that a recording may have, and the file holds every number.
  /// @param rows  what lies behind them on the first axis does not count
  Info info(const std::string& dataset, std::size_t rows = std::numeric_limits<std::size_t>::max()) const;
  /// An object under one of its names; names of one object have the same address.
  struct Object {
    std::string name;
    bool is_group = false;
    haddr_t address = HADDR_UNDEF;
  };
  /// Everything in the file, a group before what is in it, else by name.
  std::vector<Object> objects() const;
  /// Whether rows may be added to the dataset.
  bool grows(const std::string& dataset) const;
  /// For what is not asked here: the caller holds the library.
  hid_t id() const { return file_; }
  /// Walks the dataset's chunk index, which is where damage makes the library fall.
  void walk_chunks(const std::string& dataset) const;

  std::string text(const std::string& object, const char* attribute) const;
  std::uint64_t count(const std::string& object, const char* attribute, std::uint64_t most) const;
  /// 0 where files of an older version have no such attribute.
  std::uint64_t count_if_there(const std::string& object, const char* attribute, std::uint64_t most) const;
  /// From -most to most.
  std::int64_t whole(const std::string& object, const char* attribute, std::int64_t most) const;
  double number(const std::string& object, const char* attribute) const;
  /// DIMENSION_LABELS of a dataset: one text an axis, or none where it has no such attribute.
  std::vector<std::string> labels(const std::string& dataset) const;

  /// The part of a dataset from `begin`, `count` long on each axis, in the memory type. Rank as the dataset's.
  struct Box {
    std::vector<std::size_t> begin, count;
  };
  template <typename T>
  std::vector<T> read(const std::string& dataset, const Box& box) const {
    std::size_t size = 1;
    for (const std::size_t extent : box.count) size *= extent;
    std::vector<T> values(size);
    if (size > 0) read_box(dataset, box, memory_type(T{}), values.data());
    return values;
  }

  /// Entries [begin, begin + count) of the first axis as they are stored.
  std::vector<std::byte> stored(const std::string& dataset, std::size_t begin, std::size_t count) const;

  [[noreturn]] void fail(const std::string& object, std::string expected, std::string found) const;

 private:
  static hid_t memory_type(float) { return H5T_NATIVE_FLOAT; }
  static hid_t memory_type(double) { return H5T_NATIVE_DOUBLE; }
  static hid_t memory_type(std::int32_t) { return H5T_NATIVE_INT32; }
  static hid_t memory_type(std::uint64_t) { return H5T_NATIVE_UINT64; }
  static hid_t memory_type(char) { return H5T_NATIVE_UINT8; }
  void read_box(const std::string& dataset, const Box& box, hid_t type, void* values) const;
  void add_objects(const std::string& group, std::size_t depth, std::vector<Object>& objects) const;
  h5::Handle open_dataset(const std::string& name) const;
  h5::Handle open_attribute(const std::string& object, const char* name) const;

  std::string path_;
  h5::Handle file_;
};

}  // namespace vitrine
