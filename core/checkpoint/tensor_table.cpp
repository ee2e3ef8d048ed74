#include "core/checkpoint/tensor_table.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {
namespace {

struct Range {
  std::uint64_t begin, end;
  const std::string* name;
};

/// Bytes of a tensor; 0 where a size overflows or a row is no multiple of the type's block.
std::uint64_t checked_bytes(const DeclaredTensor& tensor) {
  const DTypeInfo& info = dtype_info(tensor.type);
  std::uint64_t count = 1;
  for (const std::uint64_t extent : tensor.shape) {
    if (extent == 0 || __builtin_mul_overflow(count, extent, &count)) return 0;
  }
  const std::uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % info.block_size != 0) return 0;
  std::uint64_t bytes = 0;
  return __builtin_mul_overflow(count / info.block_size, std::uint64_t{info.block_bytes}, &bytes) ? 0 : bytes;
}

/// Where a type's numbers may begin; block formats are read byte by byte.
std::size_t natural_alignment(DType type) {
  const DTypeInfo& info = dtype_info(type);
  return info.block_size == 1 ? info.block_bytes : 1;
}

void check_overlaps(const std::string& where, std::vector<Range>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].begin < ranges[i - 1].end) {
      throw Error({where + ": tensor " + quoted(*ranges[i].name), "bytes of its own",
                   "an overlap with " + quoted(*ranges[i - 1].name), ""});
    }
  }
}

}  // namespace

Weight aligned(Weight weight, std::uint64_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(weight.data) % natural_alignment(weight.type) == 0) return weight;
  const auto copy = std::make_shared<Tensor>(DType::i8, std::vector<std::size_t>{bytes});
  std::copy_n(weight.data, bytes, copy->bytes().data());
  weight.data = copy->bytes().data();
  weight.owner = copy;
  return weight;
}

std::vector<NamedTensor> tensor_table(const std::string& where, std::span<const DeclaredTensor> declared,
                                      const std::shared_ptr<const MappedFile>& file, std::uint64_t data_begin,
                                      std::uint64_t alignment) {
  const std::uint64_t available = file->bytes().size() - std::min<std::uint64_t>(data_begin, file->bytes().size());
  std::vector<NamedTensor> tensors;
  std::vector<Range> ranges;
  for (const DeclaredTensor& tensor : declared) {
    const std::string place = where + ": tensor " + quoted(tensor.name);
    const std::uint64_t bytes = checked_bytes(tensor);
    if (bytes == 0) throw Error({place, "a shape that is possible for " + std::string(dtype_info(tensor.type).name), "another", ""});
    if (tensor.begin % alignment != 0) {
      throw Error({place, "an offset that is a multiple of " + std::to_string(alignment), std::to_string(tensor.begin), ""});
    }
    if (tensor.begin > available || bytes > available - tensor.begin) {
      throw Error({place, std::to_string(bytes) + " bytes at offset " + std::to_string(tensor.begin),
                   std::to_string(available) + " bytes of data", "the file is cut short; fetch it again"});
    }
    ranges.push_back({tensor.begin, tensor.begin + bytes, &tensor.name});
    NamedTensor named{.name = tensor.name, .shape = {tensor.shape.begin(), tensor.shape.end()}, .weight = {}, .word = tensor.word};
    const std::size_t cols = named.shape.empty() ? 1 : named.shape.back();
    std::size_t rows = 1;
    for (std::size_t axis = 0; axis + 1 < named.shape.size(); ++axis) rows *= named.shape[axis];
    named.weight = aligned({tensor.type, rows, cols, file->bytes().data() + data_begin + tensor.begin, file}, bytes);
    tensors.push_back(std::move(named));
  }
  check_overlaps(where, ranges);
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i].name == tensors[i - 1].name) {
      throw Error({where + ": tensor " + quoted(tensors[i].name), "one of this name", "two", ""});
    }
  }
  return tensors;
}

}  // namespace vitrine
