#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vitrine {

/// A file inside a zip file that is stored as it is.
struct ZipEntry {
  std::string name;
  std::uint64_t begin = 0, size = 0;  ///< of its bytes in the zip file
  std::uint32_t crc32 = 0;            ///< as the directory says; nothing was read
};

/// The directory of a zip file (PKWARE's APPNOTE 6.3, with zip64), in the directory's order: every entry stored, inside the
/// file, with bytes and a name of its own.
/// @throws Error naming the file and the entry; compressed and encrypted entries are refused
std::vector<ZipEntry> stored_entries(const std::string& where, std::span<const std::byte> file);

/// The check sum of zip files.
std::uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace vitrine
