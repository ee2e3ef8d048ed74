#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/ops.h"
#include "probes/row_dataset_internal.h"
#include "probes/writer_thread_internal.h"

namespace vitrine {

/// Puts the rows of one dataset together in chunks, on the thread that sees them, and hands whole chunks to the writer.
/// The rest waits here until flush_tail(), which writes it without forgetting it, so that a later row lands in the same
/// chunk.
class RowBuffer {
 public:
  RowBuffer(RowDataset& dataset, WriterThread& writer) : dataset_(dataset), writer_(writer) {}

  RowDataset& dataset() { return dataset_; }
  const RowDataset& dataset() const { return dataset_; }
  std::size_t rows() const { return rows_; }
  std::size_t bytes() const { return rows_ * dataset_.heads() * dataset_.row_bytes(); }

  /// Converts and appends. Returns how many rows: fewer than given where an f16 dataset would have to hold a number past
  /// 65,504 next, or one of codes a number that is not finite.
  /// @param values  [rows, heads or 1, width]
  std::size_t append(TensorView<const float, 3> values, Ops& ops);
  /// Appends rows as they are stored. @param items  rows * width items of the stored type; no head axis
  void append_raw(std::span<const std::byte> items);
  /// Replaces the rows of the last chunk, which may have been sent. @param items  of all its rows up to the last; no head axis
  void rewrite_chunk(std::span<const std::byte> items);
  /// Sends a copy of what the file lacks to the writer.
  void flush_tail();
  /// Takes over the last chunk after the dataset's type changed (RowDataset::promote).
  void adopt(std::span<const std::byte> chunk);

 private:
  std::byte* place(RawBytes& chunk, std::size_t head, std::size_t row) const;
  RawBytes& chunk_for(std::size_t rows);
  bool convert(TensorView<const float, 3> values, RawBytes& chunk, Ops& ops) const;
  void advance(std::size_t rows);
  void send_whole();
  void send(WriterThread::Bytes chunk);

  RowDataset& dataset_;
  WriterThread& writer_;
  std::size_t rows_ = 0;
  bool dirty_ = false;         // the chunk at hand holds rows that the file lacks
  WriterThread::Bytes chunk_;  // [heads, chunk_rows] rows, or null between chunks
};

}  // namespace vitrine
