#include "core/model/tensor_rule.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace vitrine {
namespace {

Weight transposed(const Weight& source) {
  const Tensor flat = expand(source);
  Tensor turned(DType::f32, {source.cols, source.rows});
  for (std::size_t r = 0; r < source.rows; ++r) {
    for (std::size_t c = 0; c < source.cols; ++c) turned.floats()[c * source.rows + r] = flat.floats()[r * source.cols + c];
  }
  return make_weight(std::move(turned));
}

Weight plus_one(const Weight& source) {
  Tensor sums = expand(source);
  for (float& number : sums.floats()) number += 1.0f;
  return make_weight(std::move(sums));
}

/// A bias as one column of numbers, cut like the rows of a matrix; and back.
Weight on_its_side(Weight weight) {
  std::swap(weight.rows, weight.cols);
  return weight;
}

/// Where row `row` of a head lies in a GGUF, whose writers interleave the two halves of every head's rows.
std::size_t interleaved(std::size_t row, std::size_t head_rows) {
  const std::size_t half = head_rows / 2, inside = row % head_rows;
  return row - inside + inside % half * 2 + inside / half;
}

/// Rows one after the other as the rule has them: nothing has to be copied.
bool is_one_run(const TensorRule& rule) { return rule.period == 0 && rule.permuted_heads == 0; }

using Compress = void (*)(const float* source, std::byte* target, std::size_t count);

Compress compress_of(DType type) {
  const DTypeInfo& info = dtype_info(type);
  if (info.compress) return info.compress;
  throw Error({"type " + std::string(info.name), "one that this program rounds numbers to", "one that it only reads", ""});
}

/// The numbers of a row, less one where the rule says so.
void expand_row(const TensorPart& part, std::size_t row, std::span<float> numbers) {
  const DTypeInfo& info = dtype_info(part.weight.type);
  info.expand(part.weight.row(row), numbers.data(), numbers.size());
  if (!part.rule.plus_one) return;
  for (float& number : numbers) number -= 1.0f;
}

/// Rows in the type asked for.
Tensor placed(std::span<const TensorPart> parts, std::size_t rows, DType type) {
  const std::size_t cols = parts.front().weight.cols, stride = row_bytes(type, cols);
  Tensor file(type, {rows, cols});
  std::vector<bool> there(rows, false);
  std::vector<float> numbers(cols);
  for (const TensorPart& part : parts) {
    VITRINE_CHECK(part.weight.cols == cols);
    const bool as_it_is = part.weight.type == type && !part.rule.plus_one;
    for (std::size_t row = 0; row < part.weight.rows; ++row) {
      const std::size_t to = row_in_file(part.rule, row, part.weight.rows);
      VITRINE_CHECK(to < rows);
      std::byte* target = file.bytes().data() + to * stride;
      there[to] = true;
      if (as_it_is) {
        std::memcpy(target, part.weight.row(row), stride);
        continue;
      }
      expand_row(part, row, numbers);
      compress_of(type)(numbers.data(), target, cols);
    }
  }
  VITRINE_CHECK(std::ranges::all_of(there, [](bool written) { return written; }));
  return file;
}

}  // namespace

Weight turned(const TensorRule& rule, const Weight& tensor) {
  Weight weight = tensor;
  if (rule.cols > 0 && (weight.rows * weight.cols) % rule.cols == 0 && !dtype_info(weight.type).quantized) {
    weight.rows = weight.rows * weight.cols / rule.cols;
    weight.cols = rule.cols;
  }
  return rule.transposed ? transposed(weight) : weight;
}

std::size_t row_in_file(const TensorRule& rule, std::size_t row, std::size_t rows) {
  if (rule.permuted_heads > 0) row = interleaved(row, rows / rule.permuted_heads);
  return rule.first_row + (rule.period > 0 ? row / rule.run * rule.period + row % rule.run : row);
}

Weight part_of(const TensorRule& rule, const Weight& turned, bool bias) {
  Weight whole = bias ? on_its_side(turned) : turned;
  Weight part = whole;
  if (rule.rows > 0) part.rows = rule.rows;
  if (is_one_run(rule)) {
    part.data = whole.row(rule.first_row);
  } else {
    Tensor copy(part.type, {part.rows, part.cols});
    for (std::size_t row = 0; row < part.rows; ++row) {
      std::memcpy(copy.bytes().data() + row * part.stride_bytes(), whole.row(row_in_file(rule, row, part.rows)), part.stride_bytes());
    }
    part = make_weight(std::move(copy));
  }
  if (bias) part = on_its_side(std::move(part));
  return rule.plus_one ? plus_one(part) : part;
}

std::size_t rows_of(std::span<const TensorPart> parts) {
  std::size_t rows = 0;
  for (const TensorPart& part : parts) {
    const std::size_t count = part.bias ? part.weight.cols : part.weight.rows;
    for (std::size_t row = 0; row < count; ++row) rows = std::max(rows, row_in_file(part.rule, row, count) + 1);
    rows = std::max(rows, part.rule.fused_rows);
  }
  return rows;
}

Weight converted(const Weight& weight, DType type) {
  if (weight.type == type) return weight;
  Tensor copy(type, {weight.rows, weight.cols});
  std::vector<float> numbers(weight.cols);
  const Compress compress = compress_of(type);
  for (std::size_t row = 0; row < weight.rows; ++row) {
    dtype_info(weight.type).expand(weight.row(row), numbers.data(), weight.cols);
    compress(numbers.data(), copy.bytes().data() + row * row_bytes(type, weight.cols), weight.cols);
  }
  return make_weight(std::move(copy));
}

Weight assemble(std::span<const TensorPart> parts, std::size_t rows, DType type) {
  VITRINE_CHECK(!parts.empty());
  const TensorPart& first = parts.front();
  const bool plain = parts.size() == 1 && is_one_run(first.rule) && first.rule.first_row == 0 && !first.rule.transposed && !first.rule.plus_one;
  if (plain) return converted(first.weight, type);
  std::vector<TensorPart> columns(parts.begin(), parts.end());
  for (TensorPart& part : columns) {
    if (part.bias) part.weight = on_its_side(part.weight);
  }
  if (first.rule.transposed) return converted(transposed(make_weight(placed(columns, rows, DType::f32))), type);
  Weight whole = make_weight(placed(columns, rows, type));
  return first.bias ? on_its_side(std::move(whole)) : whole;
}

}  // namespace vitrine
