#include "core/checkpoint/zip_file.h"

#include <algorithm>
#include <array>

#include "core/checkpoint/cursor.h"

namespace vitrine {
namespace {

constexpr std::uint32_t end_mark = 0x06054b50, end64_mark = 0x06064b50, locator_mark = 0x07064b50, entry_mark = 0x02014b50, local_mark = 0x04034b50;
constexpr std::uint64_t end_bytes = 22, locator_bytes = 20, least_entry = 46, longest_comment = 65535;
constexpr std::uint16_t zip64_extra = 1;

struct Directory {
  std::uint64_t begin = 0, size = 0, entries = 0;
};

/// Where the end record begins: the last one whose comment ends with the file.
std::uint64_t find_end(const std::string& where, std::span<const std::byte> file) {
  const auto fail = [&] { throw Error({where, "the directory at the end of a zip file", "none", "the file is cut short; fetch it again"}); };
  if (file.size() < end_bytes) fail();
  const std::uint64_t last = file.size() - end_bytes, first = last - std::min<std::uint64_t>(last, longest_comment);
  for (std::uint64_t at = last;; --at) {
    Cursor in(where, file, at);
    if (in.number<std::uint32_t>("end") == end_mark) {
      in.bytes(16, "end");
      if (in.number<std::uint16_t>("comment") == in.left()) return at;
    }
    if (at == first) break;
  }
  fail();
  return 0;
}

Directory read_directory64(const std::string& where, std::span<const std::byte> file, std::uint64_t end) {
  Cursor locator(where, file, end - std::min(end, locator_bytes));
  if (end < locator_bytes || locator.number<std::uint32_t>("zip64 locator") != locator_mark) locator.fail("zip64 locator", "one before the end record", "none");
  locator.number<std::uint32_t>("zip64 locator");
  Cursor in(where, file, locator.number<std::uint64_t>("zip64 locator"));
  if (in.number<std::uint32_t>("zip64 end record") != end64_mark) in.fail("zip64 end record", "its mark", "something else");
  in.bytes(8 + 2 + 2 + 4 + 4 + 8, "zip64 end record");
  Directory directory;
  directory.entries = in.number<std::uint64_t>("zip64 entries");
  directory.size = in.number<std::uint64_t>("zip64 directory size");
  directory.begin = in.number<std::uint64_t>("zip64 directory offset");
  return directory;
}

Directory read_directory(const std::string& where, std::span<const std::byte> file) {
  const std::uint64_t end = find_end(where, file);
  Cursor in(where, file, end);
  in.bytes(10, "end record");
  Directory directory;
  directory.entries = in.number<std::uint16_t>("entries");
  directory.size = in.number<std::uint32_t>("directory size");
  directory.begin = in.number<std::uint32_t>("directory offset");
  if (directory.entries == 0xffff || directory.size == 0xffffffff || directory.begin == 0xffffffff) directory = read_directory64(where, file, end);
  if (directory.begin > end || directory.size > end - directory.begin || directory.entries > directory.size / least_entry) {
    in.fail("zip directory", "one inside the file", std::to_string(directory.entries) + " entries in " + std::to_string(directory.size) + " bytes");
  }
  return directory;
}

/// The numbers that did not fit into 32 bits, in their fixed order.
void read_zip64(Cursor extra, std::uint64_t& size, std::uint64_t& stored, std::uint64_t& local) {
  while (extra.left() >= 4) {
    const auto kind = extra.number<std::uint16_t>("extra field");
    Cursor field(extra.where(), extra.bytes(extra.number<std::uint16_t>("extra field"), "extra field"));
    if (kind != zip64_extra) continue;
    for (std::uint64_t* number : {&size, &stored, &local}) {
      if (*number == 0xffffffff) *number = field.number<std::uint64_t>("zip64 extra field");
    }
  }
}

struct Place {
  ZipEntry entry;
  std::uint64_t local = 0;  // where its own header begins
};

Place read_entry(Cursor& in) {
  if (in.number<std::uint32_t>("zip entry") != entry_mark) in.fail("zip entry", "its mark", "something else");
  in.number<std::uint32_t>("versions");
  const auto flags = in.number<std::uint16_t>("flags"), method = in.number<std::uint16_t>("method");
  in.number<std::uint32_t>("time");
  Place place;
  place.entry.crc32 = in.number<std::uint32_t>("crc");
  std::uint64_t stored = in.number<std::uint32_t>("size"), size = in.number<std::uint32_t>("size");
  const auto name = in.number<std::uint16_t>("name"), extra = in.number<std::uint16_t>("extra field"), comment = in.number<std::uint16_t>("comment");
  in.bytes(8, "attributes");
  place.local = in.number<std::uint32_t>("offset");
  place.entry.name = in.text(name, "name");
  read_zip64(Cursor(in.where(), in.bytes(extra, "extra field")), size, stored, place.local);
  in.bytes(comment, "comment");
  const std::string field = "zip entry " + quoted(place.entry.name);
  if ((flags & 1) != 0) in.fail(field, "bytes that are not encrypted", "encrypted ones");
  if (method != 0 || stored != size) in.fail(field, "bytes stored as they are", "compression method " + std::to_string(method));
  place.entry.size = size;
  return place;
}

/// The header before the bytes has its own name and padding; only it says where the bytes begin.
void find_bytes(const std::string& where, std::span<const std::byte> file, Place& place) {
  const std::string field = "zip entry " + quoted(place.entry.name);
  Cursor in(where, file, place.local);
  if (in.number<std::uint32_t>(field) != local_mark) in.fail(field, "a header before its bytes", "something else");
  in.bytes(22, field);
  const auto name = in.number<std::uint16_t>(field), extra = in.number<std::uint16_t>(field);
  if (const std::string said = in.text(name, field); said != place.entry.name) in.fail(field, "the same name before its bytes", quoted(said));
  in.bytes(extra, field);
  place.entry.begin = in.at();
  in.bytes(place.entry.size, field);
}

void refuse_equal_names(const std::string& where, const std::vector<ZipEntry>& entries) {
  std::vector<std::string_view> names;
  for (const ZipEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw Error({where + ": zip entry " + quoted(*twice), "one of this name", "two", ""});
}

}  // namespace

std::vector<ZipEntry> stored_entries(const std::string& where, std::span<const std::byte> file) {
  const Directory directory = read_directory(where, file);
  Cursor in(where, file.subspan(0, directory.begin + directory.size), directory.begin);
  std::vector<Place> places;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    places.push_back(read_entry(in));
    find_bytes(where, file.subspan(0, directory.begin), places.back());
  }
  std::vector<ZipEntry> entries;
  for (const Place& place : places) entries.push_back(place.entry);
  refuse_equal_names(where, entries);
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.local < b.local; });
  for (std::size_t i = 1; i < places.size(); ++i) {
    const ZipEntry &before = places[i - 1].entry, &entry = places[i].entry;
    if (places[i].local >= before.begin + before.size) continue;
    throw Error({where + ": zip entry " + quoted(entry.name), "bytes of its own", "an overlap with " + quoted(before.name), ""});
  }
  return entries;
}

std::uint32_t crc32(std::span<const std::byte> bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      made[i] = i;
      for (int bit = 0; bit < 8; ++bit) made[i] = made[i] >> 1 ^ ((made[i] & 1) != 0 ? 0xedb88320u : 0u);
    }
    return made;
  }();
  std::uint32_t sum = 0xffffffff;
  for (const std::byte byte : bytes) sum = table[(sum ^ std::to_integer<std::uint32_t>(byte)) & 255u] ^ sum >> 8;
  return ~sum;
}

}  // namespace vitrine
