#include "core/checkpoint/gguf_values.h"

#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

namespace vitrine {
namespace {

constexpr std::uint64_t max_string = 1u << 26, max_nesting = 4;
// A value takes some 40 bytes in memory: real files have fewer than 2 million entries in all their arrays together.
constexpr std::uint64_t max_entries = 6'000'000;

std::uint64_t least_bytes(GgufType type) {
  switch (type) {
    case GgufType::array: return 12;
    case GgufType::text: case GgufType::u64: case GgufType::i64: case GgufType::f64: return 8;
    case GgufType::u32: case GgufType::i32: case GgufType::f32: return 4;
    case GgufType::u16: case GgufType::i16: return 2;
    default: return 1;
  }
}

Json read_value(GgufCursor& in, GgufType type, const std::string& field, std::uint64_t depth);

Json read_array(GgufCursor& in, const std::string& field, std::uint64_t depth) {
  const auto type = static_cast<GgufType>(in.number<std::uint32_t>(field));
  const auto count = in.number<std::uint64_t>(field);
  if (depth >= max_nesting) in.fail(field, "arrays at most 4 deep", "deeper ones");
  if (count > in.left() / least_bytes(type)) in.fail(field, "an array that fits into the file", std::to_string(count) + " entries");
  in.claim_entries(count, field);
  Json::Array items;
  items.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) items.push_back(read_value(in, type, field, depth + 1));
  return items;
}

Json read_value(GgufCursor& in, GgufType type, const std::string& field, std::uint64_t depth) {
  switch (type) {
    case GgufType::u8: return std::int64_t{in.number<std::uint8_t>(field)};
    case GgufType::i8: return std::int64_t{in.number<std::int8_t>(field)};
    case GgufType::u16: return std::int64_t{in.number<std::uint16_t>(field)};
    case GgufType::i16: return std::int64_t{in.number<std::int16_t>(field)};
    case GgufType::u32: return std::int64_t{in.number<std::uint32_t>(field)};
    case GgufType::i32: return std::int64_t{in.number<std::int32_t>(field)};
    case GgufType::f32: return static_cast<double>(in.number<float>(field));
    case GgufType::boolean: return in.number<std::uint8_t>(field) != 0;
    case GgufType::text: return in.string(field, max_string);
    case GgufType::array: return read_array(in, field, depth);
    case GgufType::u64: {
      const auto value = in.number<std::uint64_t>(field);
      return value <= static_cast<std::uint64_t>(INT64_MAX) ? Json(value) : Json(static_cast<double>(value));
    }
    case GgufType::i64: return in.number<std::int64_t>(field);
    case GgufType::f64: return in.number<double>(field);
  }
  in.fail(field, "a value type from 0 to 12", std::to_string(static_cast<std::uint32_t>(type)));
}

template <typename T>
constexpr GgufType type_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return GgufType::u8;
  else if constexpr (std::is_same_v<T, std::int8_t>) return GgufType::i8;
  else if constexpr (std::is_same_v<T, std::uint16_t>) return GgufType::u16;
  else if constexpr (std::is_same_v<T, std::int16_t>) return GgufType::i16;
  else if constexpr (std::is_same_v<T, std::uint32_t>) return GgufType::u32;
  else if constexpr (std::is_same_v<T, std::int32_t>) return GgufType::i32;
  else if constexpr (std::is_same_v<T, float>) return GgufType::f32;
  else if constexpr (std::is_same_v<T, bool>) return GgufType::boolean;
  else if constexpr (std::is_same_v<T, std::string>) return GgufType::text;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return GgufType::u64;
  else if constexpr (std::is_same_v<T, std::int64_t>) return GgufType::i64;
  else return GgufType::f64;
}

template <typename T>
void put(GgufBytes& out, const T& value) {
  out.add(static_cast<std::uint32_t>(type_of<T>()));
  out.add(value);
}

template <typename T>
void put(GgufBytes& out, const std::vector<T>& list) {
  out.add(static_cast<std::uint32_t>(GgufType::array));
  out.add(static_cast<std::uint32_t>(type_of<T>()));
  out.add(std::uint64_t{list.size()});
  for (const T& item : list) out.add(item);
}

constexpr std::array<std::pair<std::uint32_t, DType>, 30> types{{
    {0, DType::f32},   {1, DType::f16},   {2, DType::q4_0},    {3, DType::q4_1},    {6, DType::q5_0}, {7, DType::q5_1}, {8, DType::q8_0},
    {10, DType::q2_k}, {11, DType::q3_k}, {12, DType::q4_k},   {13, DType::q5_k},   {14, DType::q6_k}, {20, DType::iq4_nl}, {23, DType::iq4_xs},
    {24, DType::i8},   {25, DType::i16},  {26, DType::i32},    {27, DType::i64},    {28, DType::f64}, {30, DType::bf16},
    {16, DType::iq2_xxs}, {17, DType::iq2_xs}, {18, DType::iq3_xxs}, {19, DType::iq1_s}, {21, DType::iq3_s}, {22, DType::iq2_s}, {29, DType::iq1_m},
    {34, DType::tq1_0}, {35, DType::tq2_0}, {39, DType::mxfp4},
}};

}  // namespace

std::string GgufCursor::string(std::string_view field, std::uint64_t limit) {
  const auto length = number<std::uint64_t>(field);
  if (length > limit) fail(field, "a text of at most " + std::to_string(limit) + " bytes", std::to_string(length));
  return text(length, field);
}

void GgufCursor::claim_entries(std::uint64_t count, std::string_view field) {
  if (count > max_entries - entries_) fail(field, "at most " + std::to_string(max_entries) + " entries in all arrays", std::to_string(count) + " more");
  entries_ += count;
}

Json read_gguf_value(GgufCursor& in, const std::string& field) { return read_value(in, static_cast<GgufType>(in.number<std::uint32_t>(field)), field, 0); }

std::vector<std::byte> gguf_bytes(const GgufValue& value) {
  GgufBytes out;
  std::visit([&](const auto& held) { put(out, held); }, value);
  return out.all();
}

std::uint32_t ggml_type(DType type) {
  for (const auto& [number, known] : types) {
    if (known == type) return number;
  }
  check_failed("every type has a number", __FILE__, __LINE__);
}

std::optional<DType> dtype_of_ggml(std::uint32_t number) {
  for (const auto& [known, type] : types) {
    if (known == number) return type;
  }
  return std::nullopt;
}

}  // namespace vitrine
