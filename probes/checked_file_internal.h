#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "probes/protected_file_internal.h"

namespace vitrine {

/// A stranger's HDF5 file: nothing is believed before it was checked, every error names file, dataset, expected, found.
/// Each call holds the library, so a recording may be read while another is written.
class CheckedFile {
 public:
  explicit CheckedFile(std::string path);
  ~CheckedFile();

  struct Info {
    std::string type;                ///< "f32", "f16", "bf16", "int8", "i32", "u64", "u8", "f64"
    std::vector<std::size_t> shape;  ///< of numbers, whatever lies in the file
    std::size_t bytes = 0;           ///< in the file
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

  /// The part of a dataset from `begin`, `count` long on each axis, in the memory type. Rank as the dataset's. Codes of 8 bits
  /// are read as float, as the numbers that they stand for.
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
  bool is_protected() const;
  /// Opens a protected file, as far as the secret goes. @throws Error where it is none of a reader's, or where names, links
  /// or attributes are not those that were recorded
  void unlock(const ReaderSecret& secret);
  /// Of a protected file that was unlocked; else null.
  const FileKeys* keys() const { return keys_ ? &*keys_ : nullptr; }
  FileKeys take_keys() { return std::move(*keys_); }
  /// False where a role is missing that reading the dataset asks for.
  bool may_read(std::string_view dataset) const { return !keys_ || keys_->opens(class_of(dataset)); }
  /// What of a protected file is complete.
  const CommitRecord& commit_record() const { return commit_; }
  /// Protected datasets that were read so far.
  const std::set<std::string>& read_so_far() const { return read_; }

  [[noreturn]] void fail(const std::string& object, std::string expected, std::string found) const;

 private:
  static hid_t memory_type(float) { return H5T_NATIVE_FLOAT; }
  static hid_t memory_type(double) { return H5T_NATIVE_DOUBLE; }
  static hid_t memory_type(std::int32_t) { return H5T_NATIVE_INT32; }
  static hid_t memory_type(std::uint64_t) { return H5T_NATIVE_UINT64; }
  static hid_t memory_type(char) { return H5T_NATIVE_UINT8; }
  /// Of codes of 8 bits; how many numbers a row has.
  std::size_t width_of_codes(const std::string& dataset, std::size_t blocks) const;
  void read_codes(const std::string& dataset, const Box& box, float* values) const;
  /// Of 16 bits as they are stored.
  void read_halves(const std::string& dataset, const Box& box, DType type, float* values) const;
  void read_box(const std::string& dataset, const Box& box, hid_t type, void* values) const;
  void add_objects(const std::string& group, std::size_t depth, std::vector<Object>& objects) const;
  h5::Handle open_dataset(const std::string& name) const;
  h5::Handle open_attribute(const std::string& object, const char* name) const;

  std::string path_;
  h5::Handle file_;
  std::optional<FileKeys> keys_;
  CommitRecord commit_;
  mutable std::set<std::string> read_;
};

}  // namespace vitrine
