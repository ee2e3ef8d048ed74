#include "probes/row_dataset_internal.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/model/kv_format.h"
#include "probes/recording_layout_internal.h"
#include "probes/sealed_dataset_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t longest_chunk = 512, shortest_chunk = 16;  // rows
constexpr std::size_t largest_chunk = std::size_t{1} << 20;      // bytes

struct Extents {
  std::array<hsize_t, 3> at{};
  int rank = 1;
};

/// Elements of a row: numbers, or blocks of them.
std::size_t row_elements(const RowDataset::Shape& shape) {
  const std::size_t block = dtype_info(shape.type).block_size;
  return (shape.width + block - 1) / block;
}

/// [rows, heads?, width?] with the given rows.
Extents extents(const RowDataset::Shape& shape, std::size_t rows, std::size_t heads) {
  Extents result;
  result.at[0] = rows;
  if (shape.heads > 0) result.at[static_cast<std::size_t>(result.rank++)] = heads;
  if (shape.width > 0) result.at[static_cast<std::size_t>(result.rank++)] = row_elements(shape);
  return result;
}

std::size_t rows_of_chunk(const RowDataset::Shape& shape, std::size_t row_bytes) {
  std::size_t rows = longest_chunk;
  while (rows > 1 && rows * row_bytes > largest_chunk) rows /= 2;
  // A file holds whole chunks: halve them while more than an eighth of a run of known length would be padding.
  const auto padded = [&] { return (shape.expected_rows + rows - 1) / rows * rows; };
  while (shape.expected_rows > 0 && rows > shortest_chunk && padded() * 8 > shape.expected_rows * 9) rows /= 2;
  return rows;
}

/// Of the index of so many chunks: an extensible array with 4 addresses in its first block, then data blocks of 16, 32, 32, 32, 64,
/// 64, ... (HDF5 File Format Specification, VII.C).
std::size_t index_bytes(std::size_t chunks) {
  constexpr std::size_t header = 72, first_block = 298, block_header = 26, address = 8, in_first_block = 4, smallest_block = 16;
  std::size_t bytes = header + first_block, left = chunks - std::min(chunks, in_first_block);
  for (unsigned level = 0; left > 0; ++level) {
    const std::size_t blocks = std::size_t{1} << level / 2, entries = smallest_block << (level + 1) / 2;
    const std::size_t used = std::min(blocks, (left + entries - 1) / entries);
    bytes += used * (block_header + entries * address);
    left -= std::min(left, used * entries);
  }
  return bytes;
}

}  // namespace

RowDataset::RowDataset(Shape shape, std::string_view where, const ChunkFilters& filters, const FileKeys* keys)
    : shape_(std::move(shape)), where_(std::string(where) + ", " + shape_.name), filters_(filters), keys_(keys) {
  set_type(shape_.type);
}

void RowDataset::set_type(DType type) {
  shape_.type = type;
  {
    const h5::Library library;
    type_name_ = h5::type_name(h5::file_type(type));
  }
  row_bytes_ = vitrine::row_bytes(type, kv_head_numbers(type, width()));
  chunk_rows_ = rows_of_chunk(shape_, row_bytes_);
}

void RowDataset::create(hid_t file) {
  const Extents chunk = extents(shape_, chunk_rows_, 1), now = extents(shape_, 0, shape_.heads);
  Extents most = now;
  most.at[0] = H5S_UNLIMITED;
  const h5::Handle type = h5::file_type(shape_.type), space(H5Screate_simple(now.rank, now.at.data(), most.at.data()), H5Sclose);
  const h5::Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose), access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_chunk(properties, chunk.rank, chunk.at.data());
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  for (const auto& filter : filters_) filter->declare(properties);
  if (keys_) SealedDataset::mark(properties);
  H5Pset_chunk_cache(access, 0, 0, 1.0);  // chunks are written whole, past the cache
  dataset_ = {H5Dcreate2(file, shape_.name.c_str(), type, space, H5P_DEFAULT, properties, access), H5Dclose};
  h5::require(dataset_, where_, "create a dataset");
  write_axis_labels(dataset_, axis_labels(shape_.name, static_cast<std::size_t>(now.rank)), where_);
  if (dtype_info(shape_.type).quantized) h5::write_attribute(dataset_, "width", static_cast<std::uint64_t>(shape_.width));
  if (keys_) SealedDataset::label(dataset_, shape_.name, where_);
  stored_rows_ = 0;
}

void RowDataset::open(hid_t file) {
  if (dataset_.valid()) return;
  dataset_ = {H5Dopen2(file, shape_.name.c_str(), H5P_DEFAULT), H5Dclose};
  h5::require(dataset_, where_, "open a dataset");
}

std::vector<FileChunk> RowDataset::filter(std::size_t rows, std::span<const std::byte> chunk) const {
  VITRINE_CHECK(rows > 0 && chunk.size() == chunk_bytes());
  const std::size_t first = (rows - 1) / chunk_rows_ * chunk_rows_, bytes = chunk.size() / heads();
  std::vector<FileChunk> result;
  for (std::size_t h = 0; h < heads(); ++h) {
    FileChunk& part = result.emplace_back(pass_filters(filters_, {shape_.name, first, h, dtype_info(shape_.type).block_bytes}, chunk.subspan(h * bytes, bytes)));
    if (keys_) seal(part, h, rows);
  }
  return result;
}

void RowDataset::seal(FileChunk& part, std::size_t head, std::size_t rows) const {
  const std::size_t first = (rows - 1) / chunk_rows_ * chunk_rows_;
  const Extents extent = extents(shape_, chunk_rows_, 1), all = extents(shape_, rows, shape_.heads);
  const auto rank = static_cast<std::size_t>(all.rank);
  std::array<hsize_t, 3> offset{first, 0, 0};
  if (shape_.heads > 0) offset[1] = head;
  part.filtered = seal_chunk(*keys_, {.dataset = shape_.name, .type = type_name_, .chunk = {extent.at.data(), rank}, .width = {all.at.data() + 1, rank - 1},
                                      .offset = {offset.data(), rank}, .rows = rows - first, .skipped = part.skipped}, part.bytes);
  part.bytes = part.filtered;
}

void RowDataset::write(std::size_t rows, std::span<const FileChunk> chunks) {
  VITRINE_CHECK(rows > 0 && rows >= stored_rows_ && chunks.size() == heads());
  if (stored_rows_ != rows) {
    const Extents now = extents(shape_, rows, shape_.heads);
    h5::require(H5Dset_extent(dataset_, now.at.data()), where_, "extend the dataset");
    stored_rows_ = rows;
  }
  std::array<hsize_t, 3> offset{(rows - 1) / chunk_rows_ * chunk_rows_, 0, 0};
  for (std::size_t h = 0; h < chunks.size(); ++h) {
    if (shape_.heads > 0) offset[1] = h;
    h5::require(H5Dwrite_chunk(dataset_, H5P_DEFAULT, chunks[h].skipped, offset.data(), chunks[h].bytes.size(), chunks[h].bytes.data()), where_,
                "write rows");
  }
}

std::size_t RowDataset::file_bytes(std::size_t rows) const {
  if (rows == 0) return 0;
  const std::size_t row_chunks = (rows + chunk_rows_ - 1) / chunk_rows_;
  return row_chunks * chunk_bytes() + index_bytes(row_chunks * heads());
}

/// [rows, heads, width]
std::vector<float> RowDataset::read_back(std::size_t rows) const {
  std::vector<float> values(rows * heads() * width());
  if (rows == 0) return values;
  const bool blocks = dtype_info(shape_.type).quantized;
  std::vector<std::byte> stored(blocks ? rows * heads() * row_bytes_ : 0);
  void* target = blocks ? static_cast<void*>(stored.data()) : values.data();
  const h5::Handle type = blocks ? h5::file_type(shape_.type) : h5::Handle(H5Tcopy(H5T_NATIVE_FLOAT), H5Tclose);
  if (keys_) {
    const Extents all = extents(shape_, rows, shape_.heads), none{};
    const auto rank = static_cast<std::size_t>(all.rank);
    SealedDataset(dataset_, *keys_, where_).read({{none.at.data(), rank}, {all.at.data(), rank}}, type, target);
  } else {
    h5::require(H5Dread(dataset_, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, target), where_, "read back");
  }
  if (blocks) expand_block_rows(shape_.type, width(), stored, values.data());
  return values;
}

std::vector<std::byte> RowDataset::promote(hid_t file, std::size_t rows) {
  VITRINE_CHECK(stored_rows_ == rows);
  const std::vector<float> values = read_back(rows);
  dataset_.reset();
  h5::require(H5Ldelete(file, shape_.name.c_str(), H5P_DEFAULT), where_, "replace the dataset");
  set_type(DType::f32);
  create(file);
  std::vector<std::byte> chunk;
  for (std::size_t first = 0; first < rows; first += chunk_rows_) {
    const std::size_t count = std::min(chunk_rows_, rows - first);
    chunk.assign(chunk_bytes(), std::byte{0});
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t h = 0; h < heads(); ++h) {
        std::memcpy(chunk.data() + (h * chunk_rows_ + r) * row_bytes_, values.data() + ((first + r) * heads() + h) * width(), row_bytes_);
      }
    }
    write(first + count, filter(first + count, chunk));
  }
  return chunk;
}

}  // namespace vitrine
