#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vitrine {

/// How numbers are stored. The block formats are GGUF's, byte for byte (ggml's documentation of block layouts).
enum class DType : std::uint8_t {
  f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, q2_k, q3_k, iq4_nl, iq4_xs,
  mxfp4, tq1_0, tq2_0, iq1_s, iq1_m, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s, i8, i16, i32, i64, f64
};

struct DTypeInfo {
  DType type;
  std::string_view name;  ///< as users write it: "F32", "Q4_1"
  std::size_t block_size;   ///< numbers a block holds
  std::size_t block_bytes;  ///< bytes a block takes
  bool quantized;
  std::size_t scale_offset;  ///< of a block's binary16 scales, which stand together
  std::size_t scale_count;   ///< 0 where the type has none
  /// Expands `count` numbers (a multiple of block_size) to f32. Plain loops: the definition the fast ones are
  /// tested against. Null for integer types.
  void (*expand)(const std::byte* source, float* target, std::size_t count);
  /// Rounds `count` f32 numbers to this type: F16 to Q5_1 as ggml's reference quantisers do, to the byte; the others to the least square
  /// error that a search finds. A block with a NaN or an infinity, or beyond its scales, expands to NaN. Null for integer types and F64.
  void (*compress)(const float* source, std::byte* target, std::size_t count);
  /// The same for the least sum of importance * error^2. Null where weights change nothing (F32, F16, BF16, Q8_0).
  /// @param importance  [count], at least 0: mean square of what a column is multiplied with
  void (*compress_weighted)(const float* source, const float* importance, std::byte* target, std::size_t count);
};

const DTypeInfo& dtype_info(DType type);
/// Every type, in the order of DType.
std::span<const DTypeInfo> all_dtypes();
/// Case-insensitive; empty where there is no such type.
std::optional<DType> parse_dtype(std::string_view name);

/// Bytes of one row of `count` numbers; count must be a multiple of the block size.
std::size_t row_bytes(DType type, std::size_t count);

}  // namespace vitrine
