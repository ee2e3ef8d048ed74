#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/model/ops.h"
#include "core/tensor/tensor_view.h"
#include "probes/hdf5_internal.h"

namespace vitrine {

/// A dataset that grows by rows: [rows, heads, width] or [rows, width], chunks of some rows of one head. Full chunks go
/// to the file at once; the rest waits in memory until flush_tail(), which writes it without forgetting it, so that a
/// later row lands in the same chunk.
class RowDataset {
 public:
  struct Shape {
    std::string name;            ///< "/activations/blocks.0.attn.hook_z"
    DType type = DType::f32;
    std::size_t heads = 0;       ///< 0: no head axis
    std::size_t width = 1;       ///< 0: no width axis ([rows] only)
    std::size_t expected_rows = 0;  ///< chunks need not be longer; 0 = unknown
  };

  RowDataset(hid_t file, Shape shape, std::string_view where);

  const Shape& shape() const { return shape_; }
  std::size_t rows() const { return rows_; }
  std::size_t bytes() const { return rows_ * std::max<std::size_t>(shape_.heads, 1) * std::max<std::size_t>(shape_.width, 1) * item_; }

  /// Converts and appends. @param values  [rows, heads or 1, width]
  void append(TensorView<const float, 3> values, Ops& ops);
  /// Appends rows as they are stored. @param items  rows * heads * width items of the stored type; no head axis
  void append_raw(std::span<const std::byte> items);
  /// What is still in memory to the library; the caller flushes the file once for all datasets.
  void flush_tail();
  /// Closes the dataset (SWMR must end, or the file is to be changed); open() continues.
  void close() { dataset_.reset(); }
  void open(hid_t file);
  /// Makes the file's copy f32 from now on: a value did not fit into f16. The file must not be in SWMR mode.
  void promote(hid_t file);

 private:
  std::byte* place(std::size_t head, std::size_t row_in_chunk);
  void advance(std::size_t rows);
  void write_chunk(std::span<const std::byte> numbers);
  std::vector<std::byte>& tail();
  std::size_t chunk_bytes() const;
  void create(hid_t file);

  Shape shape_;
  std::string where_;
  std::size_t item_ = 4;         // bytes of one number
  std::size_t chunk_rows_ = 512;
  std::size_t rows_ = 0;
  std::size_t stored_rows_ = 0;  // extent of the file's dataset
  bool dirty_ = false;           // the tail holds rows that the file lacks
  std::byte* buffer_ = nullptr;  // where a chunk is put together, [heads, chunk_rows, width]: the tail, or for a chunk that
                                 // arrives whole a buffer that all datasets share
  std::vector<std::byte> tail_;  // made when the first chunk arrives in parts
  h5::Handle dataset_, type_;
};

/// Whether a number of the values has no finite place in f16.
bool exceeds_f16(TensorView<const float, 3> values, ThreadPool& pool);

}  // namespace vitrine
