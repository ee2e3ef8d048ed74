#include "probes/row_dataset_internal.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t longest_chunk = 512, shortest_chunk = 16;  // rows
constexpr std::size_t largest_chunk = std::size_t{1} << 20;  // bytes

struct Extents {
  std::array<hsize_t, 3> at{};
  int rank = 1;
};

/// [rows, heads?, width?] with the given rows.
Extents extents(const RowDataset::Shape& shape, std::size_t rows, std::size_t heads) {
  Extents result;
  result.at[0] = rows;
  if (shape.heads > 0) result.at[static_cast<std::size_t>(result.rank++)] = heads;
  if (shape.width > 0) result.at[static_cast<std::size_t>(result.rank++)] = shape.width;
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

constexpr std::uint32_t largest_f16 = std::bit_cast<std::uint32_t>(65504.0f);
constexpr std::size_t lanes = 16;  // the compiler makes vectors of a loop of this length

bool any_exceeds(TensorView<const float, 3> values) {
  std::uint32_t above[lanes] = {};  // the sign bit tells: no branch in the loop
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      const float* row = &values(r, h, 0);
      std::size_t d = 0;
      for (; values.stride(2) == 1 && d + lanes <= values.extent(2); d += lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) above[lane] |= largest_f16 - (std::bit_cast<std::uint32_t>(row[d + lane]) & 0x7fffffffu);
      }
      for (; d < values.extent(2); ++d) above[0] |= largest_f16 - (std::bit_cast<std::uint32_t>(row[d * values.stride(2)]) & 0x7fffffffu);
    }
  }
  return std::any_of(std::begin(above), std::end(above), [](std::uint32_t bits) { return (bits & 0x80000000u) != 0; });
}

/// For chunks that arrive whole: they go to the file before the next call, so that no dataset needs memory of its own.
std::vector<std::byte>& shared_buffer() {
  static thread_local std::vector<std::byte> buffer;
  return buffer;
}

}  // namespace

bool exceeds_f16(TensorView<const float, 3> values, ThreadPool& pool) {
  constexpr std::size_t rows = 64;
  std::atomic<bool> found{false};
  pool.run((values.extent(0) + rows - 1) / rows, [&](std::size_t part, std::size_t) {
    if (any_exceeds(values.slice(part * rows, std::min(rows, values.extent(0) - part * rows)))) found = true;
  });
  return found;
}

RowDataset::RowDataset(hid_t file, Shape shape, std::string_view where)
    : shape_(std::move(shape)), where_(std::string(where) + ", " + shape_.name) {
  create(file);
}

void RowDataset::create(hid_t file) {
  type_ = h5::file_type(shape_.type);
  item_ = H5Tget_size(type_);
  const std::size_t width = std::max<std::size_t>(shape_.width, 1);
  chunk_rows_ = rows_of_chunk(shape_, width * item_);
  tail_.clear();
  buffer_ = nullptr;
  const Extents chunk = extents(shape_, chunk_rows_, 1), now = extents(shape_, 0, shape_.heads);
  Extents most = now;
  most.at[0] = H5S_UNLIMITED;
  const h5::Handle space(H5Screate_simple(now.rank, now.at.data(), most.at.data()), H5Sclose);
  const h5::Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose), access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_chunk(properties, chunk.rank, chunk.at.data());
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  H5Pset_chunk_cache(access, 0, 0, 1.0);  // chunks are written whole, past the cache
  dataset_ = {H5Dcreate2(file, shape_.name.c_str(), type_, space, H5P_DEFAULT, properties, access), H5Dclose};
  h5::require(dataset_, where_, "create a dataset");
  stored_rows_ = 0;
}

void RowDataset::open(hid_t file) {
  if (dataset_.valid()) return;
  dataset_ = {H5Dopen2(file, shape_.name.c_str(), H5P_DEFAULT), H5Dclose};
  h5::require(dataset_, where_, "open a dataset");
}

std::byte* RowDataset::place(std::size_t head, std::size_t row_in_chunk) {
  const std::size_t width = std::max<std::size_t>(shape_.width, 1);
  return buffer_ + (head * chunk_rows_ + row_in_chunk) * width * item_;
}

std::size_t RowDataset::chunk_bytes() const { return chunk_rows_ * std::max<std::size_t>(shape_.width, 1) * item_; }

std::vector<std::byte>& RowDataset::tail() {
  if (tail_.empty()) tail_.assign(std::max<std::size_t>(shape_.heads, 1) * chunk_bytes(), std::byte{0});
  return tail_;
}

void RowDataset::append(TensorView<const float, 3> values, Ops& ops) {
  constexpr std::size_t block = 128;  // rows that one thread converts at a time
  const std::size_t count = values.extent(0), width = values.extent(2), heads = values.extent(1);
  VITRINE_CHECK(shape_.heads > 0 || heads == 1);
  for (std::size_t done = 0; done < count;) {
    const std::size_t row = rows_ % chunk_rows_, part = std::min(count - done, chunk_rows_ - row);
    std::vector<std::byte>& buffer = part == chunk_rows_ ? shared_buffer() : tail();
    if (buffer.size() < heads * chunk_bytes()) buffer.resize(heads * chunk_bytes());
    buffer_ = buffer.data();
    const std::size_t blocks = (part + block - 1) / block;
    ops.pool().run(heads * blocks, [&](std::size_t index, std::size_t) {
      const std::size_t h = index / blocks, first = index % blocks * block, rows = std::min(block, part - first);
      if (values.stride(2) == 1) {
        ops.store({&values(done + first, h, 0), {rows, width}, {values.stride(0), 1}}, shape_.type, place(h, row + first), width * item_);
        return;
      }
      std::vector<float> packed(rows * width);
      for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = values(done + first + i / width, h, i % width);
      ops.store({packed.data(), {rows, width}}, shape_.type, place(h, row + first), width * item_);
    });
    advance(part);
    done += part;
  }
}

void RowDataset::append_raw(std::span<const std::byte> items) {
  const std::size_t row_bytes = std::max<std::size_t>(shape_.width, 1) * item_;
  VITRINE_CHECK(shape_.heads == 0 && items.size() % row_bytes == 0);
  while (!items.empty()) {
    const std::size_t row = rows_ % chunk_rows_, part = std::min(items.size() / row_bytes, chunk_rows_ - row);
    buffer_ = tail().data();
    std::memcpy(place(0, row), items.data(), part * row_bytes);
    items = items.subspan(part * row_bytes);
    advance(part);
  }
}

void RowDataset::advance(std::size_t rows) {
  rows_ += rows;
  dirty_ = true;
  const std::size_t bytes = std::max<std::size_t>(shape_.heads, 1) * chunk_bytes();
  if (rows_ % chunk_rows_ == 0) write_chunk({buffer_, bytes});
}

void RowDataset::write_chunk(std::span<const std::byte> numbers) {
  const std::size_t first = (rows_ - 1) / chunk_rows_ * chunk_rows_;
  if (stored_rows_ != rows_) {
    const Extents now = extents(shape_, rows_, shape_.heads);
    h5::require(H5Dset_extent(dataset_, now.at.data()), where_, "extend the dataset");
    stored_rows_ = rows_;
  }
  const std::size_t heads = std::max<std::size_t>(shape_.heads, 1), bytes = numbers.size() / heads;
  for (std::size_t h = 0; h < heads; ++h) {
    std::array<hsize_t, 3> offset{first, 0, 0};
    if (shape_.heads > 0) offset[1] = h;
    h5::require(H5Dwrite_chunk(dataset_, H5P_DEFAULT, 0, offset.data(), bytes, numbers.data() + h * bytes), where_,
                "write rows");
  }
  dirty_ = false;
}

void RowDataset::flush_tail() {
  if (dirty_) write_chunk(tail_);
}

void RowDataset::promote(hid_t file) {
  flush_tail();
  const std::size_t numbers = rows_ * std::max<std::size_t>(shape_.heads, 1) * std::max<std::size_t>(shape_.width, 1);
  std::vector<float> values(numbers);
  if (numbers > 0) {
    h5::require(H5Dread(dataset_, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), where_, "read back");
  }
  dataset_.reset();
  h5::require(H5Ldelete(file, shape_.name.c_str(), H5P_DEFAULT), where_, "replace the dataset");
  shape_.type = DType::f32;
  const std::size_t rows = std::exchange(rows_, 0), heads = std::max<std::size_t>(shape_.heads, 1),
                    width = std::max<std::size_t>(shape_.width, 1);
  create(file);
  while (rows_ < rows) {
    const std::size_t row = rows_ % chunk_rows_;
    buffer_ = tail().data();
    for (std::size_t h = 0; h < heads; ++h) {
      std::memcpy(place(h, row), values.data() + (rows_ * heads + h) * width, width * sizeof(float));
    }
    advance(1);
  }
}

}  // namespace vitrine
