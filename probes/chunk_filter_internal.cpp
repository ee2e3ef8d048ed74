#include "probes/chunk_filter_internal.h"

#include <libdeflate.h>

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// Byte b of every element, for each b in turn (HDF5's filter 2).
void shuffle(std::span<const std::byte> chunk, std::size_t element_bytes, std::byte* out) {
  const std::size_t elements = chunk.size() / element_bytes;
  for (std::size_t b = 0; b < element_bytes; ++b) {
    for (std::size_t i = 0; i < elements; ++i) *out++ = chunk[i * element_bytes + b];
  }
}

class GzipFilter : public ChunkFilter {
 public:
  explicit GzipFilter(int level) : level_(level) {}

  unsigned count() const override { return 2; }

  void declare(hid_t creation) const override {
    const bool declared = H5Pset_shuffle(creation) >= 0 && H5Pset_deflate(creation, static_cast<unsigned>(std::min(level_, 9))) >= 0;
    VITRINE_CHECK(declared);
  }

  bool pass(const ChunkPlace& place, std::vector<std::byte>& bytes) const override {
    struct Compressor {
      explicit Compressor(int level) : state(libdeflate_alloc_compressor(level)) { VITRINE_CHECK(state != nullptr); }
      ~Compressor() { libdeflate_free_compressor(state); }
      libdeflate_compressor* state;
    };
    thread_local std::vector<std::byte> shuffled;
    const Compressor compressor(level_);
    shuffled.resize(bytes.size());
    shuffle(bytes, place.element_bytes, shuffled.data());
    std::vector<std::byte> smaller(bytes.size());
    // No room for more than there was: 0 where it does not get smaller.
    const std::size_t size = libdeflate_zlib_compress(compressor.state, shuffled.data(), shuffled.size(), smaller.data(), smaller.size());
    if (size == 0) return false;
    smaller.resize(size);
    bytes = std::move(smaller);
    return true;
  }

 private:
  int level_;
};

}  // namespace

FileChunk pass_filters(const ChunkFilters& filters, const ChunkPlace& place, std::span<const std::byte> chunk) {
  FileChunk result{.bytes = chunk, .filtered = {}};
  if (filters.empty()) return result;
  result.filtered.assign(chunk.begin(), chunk.end());
  unsigned first = 0;
  for (const auto& filter : filters) {
    const unsigned count = filter->count();
    if (!filter->pass(place, result.filtered)) result.skipped |= ((1u << count) - 1) << first;
    first += count;
  }
  result.bytes = result.filtered;
  return result;
}

std::unique_ptr<const ChunkFilter> gzip_filter(int level) { return std::make_unique<GzipFilter>(level); }

}  // namespace vitrine
