#include "core/tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/base/error.h"
#include "core/tensor/blocks.h"

namespace vitrine {
namespace {

using namespace blocks;

constexpr std::array<DTypeInfo, 20> table{{
    {DType::f32, "F32", 1, 4, false, 0, 0, expand_f32, compress_f32},
    {DType::f16, "F16", 1, 2, false, 0, 0, expand_f16, compress_f16},
    {DType::bf16, "BF16", 1, 2, false, 0, 0, expand_bf16, compress_bf16},
    {DType::q8_0, "Q8_0", 32, 34, true, 0, 1, expand_q8_0, compress_q8_0},
    {DType::q4_0, "Q4_0", 32, 18, true, 0, 1, expand_q4_0, compress_q4_0},
    {DType::q4_1, "Q4_1", 32, 20, true, 0, 2, expand_q4_1, compress_q4_1},
    {DType::q5_0, "Q5_0", 32, 22, true, 0, 1, expand_q5_0, compress_q5_0},
    {DType::q5_1, "Q5_1", 32, 24, true, 0, 2, expand_q5_1, compress_q5_1},
    {DType::q4_k, "Q4_K", 256, 144, true, 0, 2, expand_q4_k, nullptr},
    {DType::q5_k, "Q5_K", 256, 176, true, 0, 2, expand_q5_k, nullptr},
    {DType::q6_k, "Q6_K", 256, 210, true, 208, 1, expand_q6_k, nullptr},
    {DType::q2_k, "Q2_K", 256, 84, true, 80, 2, expand_q2_k, nullptr},
    {DType::q3_k, "Q3_K", 256, 110, true, 108, 1, expand_q3_k, nullptr},
    {DType::iq4_nl, "IQ4_NL", 32, 18, true, 0, 1, expand_iq4_nl, nullptr},
    {DType::iq4_xs, "IQ4_XS", 256, 136, true, 0, 1, expand_iq4_xs, nullptr},
    {DType::i8, "I8", 1, 1, false, 0, 0, nullptr, nullptr},
    {DType::i16, "I16", 1, 2, false, 0, 0, nullptr, nullptr},
    {DType::i32, "I32", 1, 4, false, 0, 0, nullptr, nullptr},
    {DType::i64, "I64", 1, 8, false, 0, 0, nullptr, nullptr},
    {DType::f64, "F64", 1, 8, false, 0, 0, expand_f64, nullptr},
}};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

}  // namespace

const DTypeInfo& dtype_info(DType type) { return table[static_cast<std::size_t>(type)]; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DTypeInfo& info : table) {
    if (equal_ignoring_case(info.name, name)) return info.type;
  }
  return std::nullopt;
}

std::size_t row_bytes(DType type, std::size_t count) {
  const DTypeInfo& info = dtype_info(type);
  VITRINE_CHECK(count % info.block_size == 0);
  return count / info.block_size * info.block_bytes;
}

}  // namespace vitrine
