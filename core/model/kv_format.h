#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/model/ops.h"
#include "core/model/spec.h"
#include "core/tensor/dtype.h"

namespace vitrine {

/// How a cache holds keys and values: as f32 or f16, or rounded to the blocks of 32 numbers that weights have, each head's
/// row apart. With `hadamard` heads are turned before they are rounded, which spreads an outlier over its head (QuaRot, Ashkboos
/// et al. 2024, arXiv:2404.00456): queries turn as keys do, so that scores stay, and what a head puts out is turned back.
struct KvFormat {
  constexpr KvFormat(DType numbers = DType::f32, bool turned = false) : type(numbers), hadamard(turned) {}
  DType type;     ///< f32, f16, q8_0 (`int8`) or q4_1 (`int4`); docs/decisions/0005-quantised-kv-caches.md says why these
  bool hadamard;  ///< of q8_0 and q4_1

  /// Of the queries that meet such keys: not rounded, turned as they are.
  KvFormat queries() const { return {DType::f32, hadamard}; }
  bool quantized() const { return dtype_info(type).quantized; }
  bool operator==(const KvFormat&) const = default;
};

/// "f32", "f16", "int8", "int4:hadamard", in small or capital letters. @throws Error (usage) listing those there are
KvFormat parse_kv_format(std::string_view word);
/// "F32", "INT4:HADAMARD"
std::string kv_format_name(const KvFormat& format);
/// @throws Error (usage) where the model's heads have an odd size, of which the largest Hadamard block is a number alone
void require_kv_format(const ModelSpec& spec, const KvFormat& format);

/// Numbers of a head's row as it is stored: head_dim, or more where that ends inside a block.
std::size_t kv_head_numbers(DType type, std::size_t head_dim);
/// Keys and values of all blocks for one token, or for one of the source under cross attention; 0 for a model without a cache.
std::size_t kv_bytes_per_token(const ModelSpec& spec, const KvFormat& format, AttentionRole role = AttentionRole::self);

/// Rows of a Hadamard block: the largest power of two that divides the head size (64 of 64, 16 of 80).
constexpr std::size_t hadamard_size(std::size_t head_dim) { return head_dim & (~head_dim + 1); }

/// Keys or values (with format.queries() queries) to the numbers that attention multiplies when they come back from such a
/// cache, turned back where it turns them; in place. Where the cache turns heads and the rule rounds to bfloat16, that is done
/// to the turned numbers, as the kernel does it. @param values  [rows, heads, head_dim], head_dim dense
void round_as_multiplied(const KvFormat& format, const PatternRule& rule, Ops& ops, TensorView<float, 3> values);
/// The rule by which maps are rebuilt from such factors: what was rounded while it was turned is not rounded again.
PatternRule rule_of_factors(PatternRule rule, const KvFormat& format);

}  // namespace vitrine
