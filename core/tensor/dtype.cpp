#include "core/tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/base/error.h"
#include "core/tensor/blocks.h"

namespace vitrine {
namespace {

using namespace blocks;

/// A compression that takes weights, without any.
template <void (*weighted)(const float*, const float*, std::byte*, std::size_t)>
void unweighted(const float* source, std::byte* target, std::size_t count) {
  weighted(source, nullptr, target, count);
}

constexpr std::array<DTypeInfo, 30> table{{
    {DType::f32, "F32", 1, 4, false, 0, 0, expand_f32, compress_f32, nullptr},
    {DType::f16, "F16", 1, 2, false, 0, 0, expand_f16, compress_f16, nullptr},
    {DType::bf16, "BF16", 1, 2, false, 0, 0, expand_bf16, compress_bf16, nullptr},
    {DType::q8_0, "Q8_0", 32, 34, true, 0, 1, expand_q8_0, compress_q8_0, nullptr},
    {DType::q4_0, "Q4_0", 32, 18, true, 0, 1, expand_q4_0, compress_q4_0, compress_weighted_q4_0},
    {DType::q4_1, "Q4_1", 32, 20, true, 0, 2, expand_q4_1, compress_q4_1, compress_weighted_q4_1},
    {DType::q5_0, "Q5_0", 32, 22, true, 0, 1, expand_q5_0, compress_q5_0, compress_weighted_q5_0},
    {DType::q5_1, "Q5_1", 32, 24, true, 0, 2, expand_q5_1, compress_q5_1, compress_weighted_q5_1},
    {DType::q4_k, "Q4_K", 256, 144, true, 0, 2, expand_q4_k, unweighted<compress_q4_k>, compress_q4_k},
    {DType::q5_k, "Q5_K", 256, 176, true, 0, 2, expand_q5_k, unweighted<compress_q5_k>, compress_q5_k},
    {DType::q6_k, "Q6_K", 256, 210, true, 208, 1, expand_q6_k, unweighted<compress_q6_k>, compress_q6_k},
    {DType::q2_k, "Q2_K", 256, 84, true, 80, 2, expand_q2_k, unweighted<compress_q2_k>, compress_q2_k},
    {DType::q3_k, "Q3_K", 256, 110, true, 108, 1, expand_q3_k, unweighted<compress_q3_k>, compress_q3_k},
    {DType::iq4_nl, "IQ4_NL", 32, 18, true, 0, 1, expand_iq4_nl, unweighted<compress_iq4_nl>, compress_iq4_nl},
    {DType::iq4_xs, "IQ4_XS", 256, 136, true, 0, 1, expand_iq4_xs, unweighted<compress_iq4_xs>, compress_iq4_xs},
    {DType::mxfp4, "MXFP4", 32, 17, true, 0, 0, expand_mxfp4, unweighted<compress_mxfp4>, compress_mxfp4},
    {DType::tq1_0, "TQ1_0", 256, 54, true, 52, 1, expand_tq1_0, unweighted<compress_tq1_0>, compress_tq1_0},
    {DType::tq2_0, "TQ2_0", 256, 66, true, 64, 1, expand_tq2_0, unweighted<compress_tq2_0>, compress_tq2_0},
    {DType::iq1_s, "IQ1_S", 256, 50, true, 0, 1, expand_iq1_s, unweighted<compress_iq1_s>, compress_iq1_s},
    {DType::iq1_m, "IQ1_M", 256, 56, true, 54, 1, expand_iq1_m, unweighted<compress_iq1_m>, compress_iq1_m},
    {DType::iq2_xxs, "IQ2_XXS", 256, 66, true, 0, 1, expand_iq2_xxs, unweighted<compress_iq2_xxs>, compress_iq2_xxs},
    {DType::iq2_xs, "IQ2_XS", 256, 74, true, 0, 1, expand_iq2_xs, unweighted<compress_iq2_xs>, compress_iq2_xs},
    {DType::iq2_s, "IQ2_S", 256, 82, true, 0, 1, expand_iq2_s, unweighted<compress_iq2_s>, compress_iq2_s},
    {DType::iq3_xxs, "IQ3_XXS", 256, 98, true, 0, 1, expand_iq3_xxs, unweighted<compress_iq3_xxs>, compress_iq3_xxs},
    {DType::iq3_s, "IQ3_S", 256, 110, true, 0, 1, expand_iq3_s, unweighted<compress_iq3_s>, compress_iq3_s},
    {DType::i8, "I8", 1, 1, false, 0, 0, nullptr, nullptr, nullptr},
    {DType::i16, "I16", 1, 2, false, 0, 0, nullptr, nullptr, nullptr},
    {DType::i32, "I32", 1, 4, false, 0, 0, nullptr, nullptr, nullptr},
    {DType::i64, "I64", 1, 8, false, 0, 0, nullptr, nullptr, nullptr},
    {DType::f64, "F64", 1, 8, false, 0, 0, expand_f64, nullptr, nullptr},
}};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

}  // namespace

std::span<const DTypeInfo> all_dtypes() { return table; }

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
