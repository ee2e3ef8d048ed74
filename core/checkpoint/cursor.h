#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"

namespace vitrine {

/// Reads little-endian numbers and bytes from the front of a stranger's file; every step checks what is left.
class Cursor {
 public:
  Cursor(std::string where, std::span<const std::byte> bytes, std::uint64_t at = 0) : where_(std::move(where)), bytes_(bytes) {
    if (at > bytes.size()) fail("offset", "at most " + std::to_string(bytes.size()), std::to_string(at) + " (cut short)");
    at_ = at;
  }

  template <typename T>
  T number(std::string_view field) {
    T value;
    std::memcpy(&value, take(sizeof(T), field), sizeof(T));
    return value;
  }

  /// The next `count` bytes, in place.
  std::span<const std::byte> bytes(std::uint64_t count, std::string_view field) { return {take(count, field), count}; }
  std::string text(std::uint64_t count, std::string_view field) { return {reinterpret_cast<const char*>(take(count, field)), count}; }

  std::uint64_t left() const { return bytes_.size() - at_; }
  std::uint64_t at() const { return at_; }
  const std::string& where() const { return where_; }

  [[noreturn]] void fail(std::string_view field, std::string expected, std::string found) const {
    throw Error({where_ + ": " + std::string(field), std::move(expected), std::move(found), ""});
  }

 private:
  const std::byte* take(std::uint64_t count, std::string_view field) {
    if (count > left()) {
      fail(field, std::to_string(count) + " bytes at offset " + std::to_string(at_), std::to_string(left()) + " (cut short)");
    }
    const std::byte* data = bytes_.data() + at_;
    at_ += count;
    return data;
  }

  std::string where_;
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
};

}  // namespace vitrine
