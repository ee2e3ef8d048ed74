#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "probes/chunk_filter_internal.h"
#include "probes/protection/file_keys.h"

namespace vitrine {

/// A dataset of the file that grows by rows: [rows, heads, width] or [rows, width], in chunks of some rows of one head.
/// Its shape is known at once and belongs to nobody; everything else is the writer's.
class RowDataset {
 public:
  struct Shape {
    std::string name;               ///< "/activations/blocks.0.attn.hook_z"
    DType type = DType::f32;
    std::size_t heads = 0;          ///< 0: no head axis
    std::size_t width = 1;          ///< 0: no width axis ([rows] only)
    std::size_t expected_rows = 0;  ///< chunks need not be longer; 0 = unknown
  };

  /// @param filters  that its chunks pass; must outlive it
  /// @param keys  of a protected recording, which must outlive it, too; else null
  RowDataset(Shape shape, std::string_view where, const ChunkFilters& filters, const FileKeys* keys = nullptr);

  const Shape& shape() const { return shape_; }
  std::size_t heads() const { return shape_.heads > 0 ? shape_.heads : 1; }
  std::size_t width() const { return shape_.width > 0 ? shape_.width : 1; }
  std::size_t row_bytes() const { return row_bytes_; }  ///< of one row of one head
  std::size_t chunk_rows() const { return chunk_rows_; }
  /// Of a chunk of every head, which lie one behind the other: [heads, chunk_rows] rows.
  std::size_t chunk_bytes() const { return heads() * chunk_rows_ * row_bytes_; }

  /// That so many rows take in the file: whole chunks, unfiltered, and their index.
  std::size_t file_bytes(std::size_t rows) const;
  bool has_filters() const { return !filters_.empty() || keys_ != nullptr; }  ///< work that other threads can do

  void create(hid_t file);
  void open(hid_t file);
  /// SWMR must end, or the file is to be changed; open() continues.
  void close() { dataset_.reset(); }
  /// What the file is to hold of the chunk with row `rows - 1`, for each head; may run on any thread.
  std::vector<FileChunk> filter(std::size_t rows, std::span<const std::byte> chunk) const;
  /// Writes that chunk; the dataset then has `rows` rows.
  void write(std::size_t rows, std::span<const FileChunk> chunks);
  /// Makes the file's copy of `rows` rows f32 from now on, because a number did not fit into f16. The file must not be in
  /// SWMR mode. Returns the last chunk, whole or not.
  std::vector<std::byte> promote(hid_t file, std::size_t rows);

 private:
  void set_type(DType type);
  std::vector<float> read_back(std::size_t rows) const;
  void seal(FileChunk& part, std::size_t head, std::size_t rows) const;

  Shape shape_;
  std::string where_;
  const ChunkFilters& filters_;
  const FileKeys* keys_;
  std::string_view type_name_;
  std::size_t row_bytes_ = 4;
  std::size_t chunk_rows_ = 512;
  std::size_t stored_rows_ = 0;  // extent of the file's dataset
  h5::Handle dataset_;
};

}  // namespace vitrine
