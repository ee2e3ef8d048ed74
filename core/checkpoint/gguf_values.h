#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/base/json.h"
#include "core/checkpoint/cursor.h"
#include "core/tensor/dtype.h"

// What stands in a GGUF's header (ggml's docs/gguf.md): key-value pairs of thirteen types, and numbers for types of tensors.

namespace vitrine {

/// Types of values, by the format's numbers.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// A value with its type. Lists of lists can be read and copied, not made.
using GgufValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float, bool, std::string, std::uint64_t,
                               std::int64_t, double, std::vector<std::string>, std::vector<std::int8_t>, std::vector<std::uint32_t>,
                               std::vector<std::int32_t>, std::vector<float>, std::vector<bool>>;

/// Reads a header; counts what arrays hold, for small numbers in a file are large values in memory.
class GgufCursor : public Cursor {
 public:
  using Cursor::Cursor;
  std::string string(std::string_view field, std::uint64_t limit);
  void claim_entries(std::uint64_t count, std::string_view field);

 private:
  std::uint64_t entries_ = 0;
};

/// The next value: its type, then itself. u64 beyond i64 becomes a double. @throws Error naming `field`
Json read_gguf_value(GgufCursor& in, const std::string& field);

/// Numbers and texts, one behind the other, as a header holds them.
class GgufBytes {
 public:
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  void add(Number number) { add(std::as_bytes(std::span(&number, 1))); }
  void add(std::string_view text) {
    add(std::uint64_t{text.size()});
    add(std::as_bytes(std::span(text)));
  }
  void add(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  const std::vector<std::byte>& all() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// A value's bytes as they stand in a file, type first.
std::vector<std::byte> gguf_bytes(const GgufValue& value);

/// ggml's number of a tensor's type, and the type of a number; none where this program has no such type.
std::uint32_t ggml_type(DType type);
std::optional<DType> dtype_of_ggml(std::uint32_t number);

}  // namespace vitrine
