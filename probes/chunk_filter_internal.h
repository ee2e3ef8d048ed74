#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "probes/hdf5_internal.h"

namespace vitrine {

/// Which chunk of a recording, and what it is made of.
struct ChunkPlace {
  std::string_view dataset;       ///< "/activations/blocks.0.attn.hook_z"
  std::uint64_t row = 0;          ///< its first
  std::uint64_t head = 0;
  std::size_t element_bytes = 1;  ///< of one element of the file's type
};

/// What every chunk passes on its way into the file. Stands for one or more filters of HDF5's pipeline, which undo it.
class ChunkFilter {
 public:
  virtual ~ChunkFilter() = default;
  /// Of filters in HDF5's pipeline.
  virtual unsigned count() const = 0;
  /// Puts them into the properties that a dataset is made with.
  virtual void declare(hid_t creation) const = 0;
  /// Replaces a chunk's bytes; may run on any thread. False: they stay as they are, and the file says so of this chunk.
  virtual bool pass(const ChunkPlace& place, std::vector<std::byte>& bytes) const = 0;
};
using ChunkFilters = std::vector<std::unique_ptr<const ChunkFilter>>;

/// A chunk as it lies in the file.
struct FileChunk {
  std::span<const std::byte> bytes;
  std::vector<std::byte> filtered;  ///< what `bytes` looks at, where it passed a filter
  std::uint32_t skipped = 0;        ///< filters of the pipeline that it did not pass, a bit each
};

/// Through all filters, in their order. @param chunk  must stay where there are none
FileChunk pass_filters(const ChunkFilters& filters, const ChunkPlace& place, std::span<const std::byte> chunk);

/// Bytes of equal significance side by side, then deflate (RFC 1950): what every HDF5 library reads.
/// @param level  1 (fastest) to 12 (smallest)
std::unique_ptr<const ChunkFilter> gzip_filter(int level);

}  // namespace vitrine
