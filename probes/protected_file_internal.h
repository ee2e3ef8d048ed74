#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "probes/hdf5_internal.h"
#include "probes/protection/file_keys.h"

// The group /protection of a recording (FORMAT.md, "Protected recordings"): who may read it, and what of it is complete.

namespace vitrine {

constexpr const char* protection_group = "/protection";
constexpr std::size_t most_readers = 32;
constexpr std::uint64_t protection_version = 1;

/// What a protected recording says of itself, sealed: it cannot be set back to another state than one it was in.
struct CommitRecord {
  std::uint64_t number = 0;             ///< of commits before it
  std::uint64_t rows = 0, encoder_rows = 0;
  std::uint64_t finished = 0;           ///< 1: the digest covers the numbers of datasets that are not sealed, too
  std::array<std::byte, 32> digest{};   ///< of the file's structure
};

/// Creates the group for keys that were made for this file. @throws Error where readers are too many, or none
void create_protection(hid_t file, const FileKeys& keys, std::span<const Reader> readers, std::string_view where);
bool is_protected(hid_t file);
/// @throws Error where the secret is none of a reader's
FileKeys unlock(hid_t file, const ReaderSecret& secret, const std::string& where);

/// Of names, hard links and attributes, and, of a finished file, of the numbers of datasets that are not sealed.
std::array<std::byte, 32> structure_digest(hid_t file, const FileKeys& keys, bool finished);

/// Records alternate between two places, so that one is whole whenever the writer stops.
void write_commit(hid_t file, const FileKeys& keys, const CommitRecord& record, std::string_view where);
/// The newest whole record. @throws Error where there is none
CommitRecord read_commit(hid_t file, const FileKeys& keys, const std::string& where);

/// A text attribute that readers of text may read, and the text that was sealed so.
std::string sealed_text(const FileKeys& keys, std::string_view name, std::string_view text);
std::string opened_text(const FileKeys& keys, std::string_view name, std::string_view sealed, const std::string& where);

/// The readers' places of a file. @throws Error as unlock()
std::vector<FileKeys::Wrapped> read_readers(hid_t file, const std::string& where);
void write_reader(hid_t file, std::size_t place, const FileKeys::Wrapped& wrapped, std::string_view where);
FileKeys::Id file_id(hid_t file, const std::string& where);

}  // namespace vitrine
