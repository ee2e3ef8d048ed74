#include "core/model/kv_format.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "core/base/error.h"
#include "core/model/attention.h"

namespace vitrine {
namespace {

struct Named {
  std::string_view name;
  KvFormat format;
};

constexpr std::array<Named, 6> formats{{{"F32", DType::f32},
                                        {"F16", DType::f16},
                                        {"INT8", DType::q8_0},
                                        {"INT8:HADAMARD", {DType::q8_0, true}},
                                        {"INT4", DType::q4_1},
                                        {"INT4:HADAMARD", {DType::q4_1, true}}}};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, [](unsigned char c) { return std::toupper(c); }, [](unsigned char c) { return std::toupper(c); });
}

}  // namespace

KvFormat parse_kv_format(std::string_view word) {
  for (const Named& named : formats) {
    if (equal_ignoring_case(named.name, word)) return named.format;
  }
  throw Error({"--kv", "f32, f16, int8, int4, int8:hadamard or int4:hadamard", quoted(word), ""}, Fault::usage);
}

std::string kv_format_name(const KvFormat& format) {
  const auto found = std::ranges::find(formats, format, &Named::format);
  VITRINE_CHECK(found != formats.end());
  return std::string(found->name);
}

void require_kv_format(const ModelSpec& spec, const KvFormat& format) {
  const auto require_even = [&](const AttentionSpec& attention) {
    if (!format.hadamard || hadamard_size(attention.head_dim) > 1) return;
    throw Error({"--kv " + kv_format_name(format), "heads of an even size", std::to_string(attention.head_dim),
                 "leave out :hadamard"}, Fault::usage);
  };
  for (const BlockSpec& block : spec.blocks) {
    require_even(block.attention);
    if (block.cross) require_even(*block.cross);
  }
}

std::size_t kv_head_numbers(DType type, std::size_t head_dim) {
  const std::size_t block = dtype_info(type).block_size;
  return (head_dim + block - 1) / block * block;
}

std::size_t kv_bytes_per_token(const ModelSpec& spec, const KvFormat& format, AttentionRole role) {
  std::size_t bytes = 0;
  if (!spec.causal()) return bytes;
  for (const BlockSpec& block : spec.blocks) {
    const AttentionSpec* attention = role == AttentionRole::self ? &block.attention : block.cross ? &*block.cross : nullptr;
    if (attention) bytes += 2 * attention->kv_heads * row_bytes(format.type, kv_head_numbers(format.type, attention->head_dim));
  }
  return bytes;
}

namespace {

/// To the numbers of another type and back.
void through_type(DType type, Ops& ops, TensorView<float, 3> values) {
  const std::size_t rows = values.extent(0), dim = values.extent(2), bytes = row_bytes(type, kv_head_numbers(type, dim));
  std::vector<std::byte> stored(rows * bytes);
  for (std::size_t h = 0; h < values.extent(1); ++h) {
    ops.store({&values(0, h, 0), {rows, dim}, {values.stride(0), 1}}, type, stored.data(), bytes);
    const KvView view{.type = type, .rows = stored.data(), .row_bytes = static_cast<std::ptrdiff_t>(bytes), .kv_len = rows, .kv_heads = 1, .head_dim = dim};
    for (std::size_t r = 0; r < rows; ++r) view.expand(r, 0, &values(r, h, 0));
  }
}

}  // namespace

void round_as_multiplied(const KvFormat& format, const PatternRule& rule, Ops& ops, TensorView<float, 3> values) {
  if (format.hadamard) ops.hadamard(values, values);
  if (format.type != DType::f32) through_type(format.type, ops, values);
  if (!format.hadamard) return;
  if (rule.bf16_factors) through_type(DType::bf16, ops, values);
  ops.hadamard(values, values);
}

PatternRule rule_of_factors(PatternRule rule, const KvFormat& format) {
  rule.bf16_factors &= !format.hadamard;
  return rule;
}

void KvView::expand(std::size_t index, std::size_t head, float* numbers) const {
  const DTypeInfo& info = dtype_info(type);
  const std::size_t whole = head_dim / info.block_size * info.block_size;
  const std::byte* data = row(index, head);
  info.expand(data, numbers, whole);
  if (whole == head_dim) return;
  std::array<float, 32> last{};
  VITRINE_CHECK(info.block_size <= last.size());
  info.expand(data + vitrine::row_bytes(type, whole), last.data(), info.block_size);
  std::copy_n(last.begin(), head_dim - whole, numbers + whole);
}

}  // namespace vitrine
