#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "probes/hdf5_internal.h"
#include "probes/protection/file_keys.h"

namespace vitrine {

/// A chunked dataset whose chunks are sealed one by one, past HDF5's filters (FORMAT.md, "Protected recordings"): a chunk is
/// bound to the file, the dataset's name and type, its place and the rows that it holds. One thread at a time.
class SealedDataset {
 public:
  /// What a chunk's stored bytes have more than its own.
  static constexpr std::size_t overhead = FileKeys::overhead + 8;

  /// Marks a dataset that is about to be created: other programs hear that they lack a filter, instead of reading noise.
  static void mark(hid_t creation_properties);
  static bool is_marked(hid_t dataset);
  /// Writes what a new dataset says of itself. @param name  its own, by which hard links to it are known too
  static void label(hid_t dataset, const std::string& name, std::string_view where);
  /// The name that label() wrote.
  static std::string label_of(hid_t dataset, std::string_view where);

  /// @param where  names file and dataset in errors
  SealedDataset(hid_t dataset, const FileKeys& keys, std::string where);

  /// Seals and writes one chunk. @param rows  of it that hold anything; more may come, which replace the chunk
  void write(std::span<const hsize_t> offset, std::size_t rows, std::span<const std::byte> chunk);

  /// Reads a box of numbers. @throws Error where a chunk was changed, moved, replaced by an older one, or is not there
  struct Box {
    std::span<const hsize_t> begin, count;
  };
  void read(const Box& box, hid_t memory_type, void* values);

 private:
  using Extents = std::array<hsize_t, H5S_MAX_RANK>;
  std::string bound(std::span<const hsize_t> offset, std::uint64_t rows) const;
  h5::Handle shadow(hid_t file) const;
  void copy_chunk(std::span<const hsize_t> offset, std::size_t rows, hid_t target);
  std::span<const hsize_t> chunk() const { return {chunk_.data(), rank_}; }

  hid_t dataset_;
  const FileKeys& keys_;
  std::string where_, prefix_;  // of what chunks are bound to
  DataClass class_;
  std::size_t rank_ = 0;
  Extents extents_{}, chunk_{};
  std::vector<std::byte> sealed_, plain_;
};

}  // namespace vitrine
