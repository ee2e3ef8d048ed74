#include "probes/row_buffer_internal.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t rows_apiece = 128;  // that one thread converts at a time

/// False where a block of codes has a number among its own that no scale stands for: NaN, or an infinity.
bool has_scales(std::span<const std::byte> blocks, DType type) {
  const DTypeInfo& info = dtype_info(type);
  if (!info.quantized) return true;
  for (std::size_t at = info.scale_offset; at < blocks.size(); at += info.block_bytes) {
    std::uint16_t scale;
    std::memcpy(&scale, blocks.data() + at, sizeof scale);
    if ((scale & 0x7c00u) == 0x7c00u) return false;
  }
  return true;
}

}  // namespace

std::byte* RowBuffer::place(RawBytes& chunk, std::size_t head, std::size_t row) const {
  return chunk.data() + (head * dataset_.chunk_rows() + row) * dataset_.row_bytes();
}

/// The chunk at hand; padding of a chunk that does not arrive whole is zero.
RawBytes& RowBuffer::chunk_for(std::size_t rows) {
  if (!chunk_) {
    chunk_ = writer_.buffer(dataset_.chunk_bytes());
    if (rows < dataset_.chunk_rows()) std::ranges::fill(chunk_->span(), std::byte{0});
  }
  return *chunk_;
}

/// False where a number does not fit; the chunk then holds rubbish behind the rows it had.
bool RowBuffer::convert(TensorView<const float, 3> values, RawBytes& chunk, Ops& ops) const {
  const std::size_t first = rows_ % dataset_.chunk_rows(), count = values.extent(0), width = values.extent(2);
  const std::size_t pieces = (count + rows_apiece - 1) / rows_apiece;
  const DType type = dataset_.shape().type;
  std::atomic<bool> fits{true};
  ops.pool().run(values.extent(1) * pieces, [&](std::size_t index, std::size_t) {
    const std::size_t h = index / pieces, begin = index % pieces * rows_apiece, rows = std::min(rows_apiece, count - begin);
    TensorView<const float, 2> part{&values(begin, h, 0), {rows, width}, {values.stride(0), 1}};
    std::vector<float> packed;
    if (values.stride(2) != 1) {
      packed.resize(rows * width);
      for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = values(begin + i / width, h, i % width);
      part = {packed.data(), {rows, width}};
    }
    std::byte* target = place(chunk, h, first + begin);
    const bool stored = ops.store(part, type, target, dataset_.row_bytes());
    if (!stored || !has_scales({target, rows * dataset_.row_bytes()}, type)) fits.store(false, std::memory_order_relaxed);
  });
  return fits.load();
}

std::size_t RowBuffer::append(TensorView<const float, 3> values, Ops& ops) {
  const std::size_t count = values.extent(0);
  VITRINE_CHECK(values.extent(1) == dataset_.heads() && values.extent(2) == dataset_.width());
  for (std::size_t done = 0; done < count;) {
    const std::size_t part = std::min(count - done, dataset_.chunk_rows() - rows_ % dataset_.chunk_rows());
    if (!convert(values.slice(done, part), chunk_for(part), ops)) return done;
    advance(part);
    done += part;
  }
  return count;
}

void RowBuffer::append_raw(std::span<const std::byte> items) {
  const std::size_t row_bytes = dataset_.row_bytes();
  VITRINE_CHECK(dataset_.heads() == 1 && items.size() % row_bytes == 0);
  while (!items.empty()) {
    const std::size_t row = rows_ % dataset_.chunk_rows(), part = std::min(items.size() / row_bytes, dataset_.chunk_rows() - row);
    std::memcpy(place(chunk_for(part), 0, row), items.data(), part * row_bytes);
    items = items.subspan(part * row_bytes);
    advance(part);
  }
}

void RowBuffer::rewrite_chunk(std::span<const std::byte> items) {
  VITRINE_CHECK(rows_ > 0 && dataset_.heads() == 1 && items.size() == ((rows_ - 1) % dataset_.chunk_rows() + 1) * dataset_.row_bytes());
  std::memcpy(place(chunk_for(0), 0, 0), items.data(), items.size());
  dirty_ = true;
  if (rows_ % dataset_.chunk_rows() == 0) send_whole();
}

void RowBuffer::advance(std::size_t rows) {
  rows_ += rows;
  dirty_ = true;
  if (rows_ % dataset_.chunk_rows() == 0) send_whole();
}

void RowBuffer::send_whole() {
  dirty_ = false;
  send(std::exchange(chunk_, nullptr));
}

void RowBuffer::flush_tail() {
  if (!dirty_) return;
  WriterThread::Bytes copy = writer_.buffer(chunk_->size());
  std::memcpy(copy->data(), chunk_->data(), chunk_->size());
  dirty_ = false;
  send(std::move(copy));
}

void RowBuffer::send(WriterThread::Bytes chunk) {
  const std::size_t bytes = chunk->size();
  RowDataset& dataset = dataset_;
  if (!dataset.has_filters()) {
    return writer_.post([&dataset, rows = rows_, chunk = std::move(chunk)] { dataset.write(rows, dataset.filter(rows, chunk->span())); }, bytes);
  }
  auto filtered = std::make_shared<std::vector<FileChunk>>();
  writer_.post_prepared([&dataset, rows = rows_, chunk = std::move(chunk), filtered] { *filtered = dataset.filter(rows, chunk->span()); },
                        [&dataset, rows = rows_, filtered] { dataset.write(rows, *filtered); }, bytes);
}

void RowBuffer::adopt(std::span<const std::byte> chunk) {
  const bool whole = rows_ % dataset_.chunk_rows() == 0;
  chunk_ = nullptr;
  if (!whole) {
    chunk_ = writer_.buffer(chunk.size());
    std::memcpy(chunk_->data(), chunk.data(), chunk.size());
  }
  dirty_ = false;
}

}  // namespace vitrine
