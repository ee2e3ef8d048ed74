#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "probes/hdf5_internal.h"
#include "probes/protection/file_keys.h"

namespace vitrine {

/// What a sealed chunk is bound to, besides its file.
struct SealPlace {
  std::string_view dataset;         ///< its own name, by which hard links to it are known too
  std::string_view type;            ///< of its numbers: "f16"
  std::span<const hsize_t> chunk;   ///< extents of a whole chunk
  std::span<const hsize_t> width;   ///< extents of the dataset behind its rows
  std::span<const hsize_t> offset;  ///< of the chunk
  std::uint64_t rows = 0;           ///< of the chunk that hold anything; more may come, which replace it
  std::uint32_t skipped = 0;        ///< filters that it did not pass, a bit each
};
/// A chunk as it lies in a protected file: its rows, a nonce, its bytes, a tag. Uses no HDF5 and may run on any thread.
std::vector<std::byte> seal_chunk(const FileKeys& keys, const SealPlace& place, std::span<const std::byte> plain);

/// A chunked dataset whose chunks are sealed one by one, past HDF5's filters (FORMAT.md, "Protected recordings"), read back. One
/// thread at a time.
class SealedDataset {
 public:
  /// Marks a dataset that is about to be created: other programs hear that they lack a filter, instead of reading noise.
  static void mark(hid_t creation_properties);
  static bool is_marked(hid_t dataset);
  /// Writes what a new dataset says of itself. @param name  its own, as in SealPlace
  static void label(hid_t dataset, const std::string& name, std::string_view where);
  /// The name that label() wrote.
  static std::string label_of(hid_t dataset, std::string_view where);

  /// @param where  names file and dataset in errors
  SealedDataset(hid_t dataset, const FileKeys& keys, std::string where);

  /// Reads a box of numbers. @throws Error where a chunk was changed, moved, replaced by an older one, or is not there
  struct Box {
    std::span<const hsize_t> begin, count;
  };
  void read(const Box& box, hid_t memory_type, void* values);

 private:
  using Extents = std::array<hsize_t, H5S_MAX_RANK>;
  h5::Handle shadow(hid_t file) const;
  void copy_chunk(std::span<const hsize_t> offset, std::size_t rows, hid_t target);
  std::span<const hsize_t> chunk() const { return {chunk_.data(), rank_}; }

  hid_t dataset_;
  const FileKeys& keys_;
  std::string where_, name_;
  DataClass class_;
  std::size_t rank_ = 0;
  std::string_view type_;
  Extents extents_{}, chunk_{};
  std::vector<std::byte> sealed_, plain_;
};

}  // namespace vitrine
