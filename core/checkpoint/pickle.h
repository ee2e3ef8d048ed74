#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// A value of a pickle. What a container holds are places in Pickle::values.
struct PickleValue {
  enum class Kind : std::uint8_t {
    none, boolean, integer, number, text, bytes, tuple, list,
    dict,        ///< items: key, value, key, value, ...
    global,      ///< text: "module.name"; nothing is imported
    call,        ///< items: the global, its arguments (a tuple), then keys and values that were put into the result
    persistent,  ///< items: its id
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;  ///< also of a boolean; of a dictionary or a call: 1 where attributes were set on it
  double number = 0.0;
  std::string text;          ///< also bytes, and whole numbers beyond 64 bits (two's complement, little-endian)
  std::vector<std::uint32_t> items;
};

/// What a pickle describes, as data: calls are written down, none is made.
struct Pickle {
  std::vector<PickleValue> values;
  std::uint32_t root = 0;
  std::uint64_t end = 0;  ///< offset behind its last byte

  const PickleValue& at(std::uint32_t place) const { return values[place]; }
};

/// Reads one pickle of protocols 1 to 5, of at most 64 MiB, from `offset`. Opcodes that make objects or name classes by number are refused by name;
/// so is each global that `allowed` does not hold.
/// @throws Error naming file, opcode or global
Pickle read_pickle(const std::string& where, std::span<const std::byte> bytes, std::uint64_t offset, const std::function<bool(std::string_view)>& allowed);

}  // namespace vitrine
