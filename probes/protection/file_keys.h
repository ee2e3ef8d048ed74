#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/protection/secret.h"

namespace vitrine {

/// What a protected recording holds, by who may read it: each class has a random key of its own.
enum class DataClass : std::uint8_t { summaries, text, values };
constexpr std::size_t data_classes = 3;
/// A role reads the class of its number and those before it.
enum class ReaderRole : std::uint8_t { summaries, text, everything };

/// @param dataset  "/tokens/id". What is not in the table is of the class `values`, the most guarded one.
DataClass class_of(std::string_view dataset);
std::string_view reader_role_name(ReaderRole role);
/// @throws Error (usage) naming `flag`
ReaderRole parse_reader_role(std::string_view word, const std::string& flag);
/// The lowest role that reads a class.
constexpr ReaderRole reader_role_for(DataClass data) { return static_cast<ReaderRole>(data); }

/// Who may read a recording, and how much of it.
struct Reader {
  ReaderRole role = ReaderRole::everything;
  SharedSecret secret;
};

/// The keys of one protected recording: random, one for each class of data, wrapped for each reader. All sealing is
/// XChaCha20-Poly1305 with random nonces, bound to additional data that says where the bytes belong.
class FileKeys {
 public:
  using Id = std::array<std::byte, 16>;
  static constexpr std::size_t overhead = 24 + 16;  ///< of sealed bytes: nonce before them, tag behind

  /// New keys for a new file.
  static FileKeys create();

  const Id& id() const { return id_; }  ///< random, of the file; every sealed thing is bound to it
  ReaderRole role() const { return role_; }
  bool opens(DataClass data) const { return static_cast<std::uint8_t>(data) <= static_cast<std::uint8_t>(role_); }

  /// @param sealed  plain.size() + overhead bytes
  void seal(DataClass data, std::string_view bound, std::span<const std::byte> plain, std::span<std::byte> sealed) const;
  /// False where these bytes were not sealed by this key, or for another place.
  /// @param plain  sealed.size() - overhead bytes
  [[nodiscard]] bool open(DataClass data, std::string_view bound, std::span<const std::byte> sealed, std::span<std::byte> plain) const;
  /// 32 bytes that only who has the key of the summaries can compute.
  std::array<std::byte, 32> authenticate(std::string_view message) const;

  /// The keys that a reader gets, wrapped. @throws Error where these keys do not reach that role
  static constexpr std::size_t wrapped_bytes = 184;
  using Wrapped = std::array<std::byte, wrapped_bytes>;
  Wrapped wrap(const Reader& reader) const;
  /// Whether there is a reader in this place at all.
  static bool is_reader(std::span<const std::byte, wrapped_bytes> wrapped);
  /// The keys that were wrapped for this secret, or nothing.
  static std::optional<FileKeys> unwrap(const Id& id, std::span<const std::byte, wrapped_bytes> wrapped, const ReaderSecret& secret);

 private:
  FileKeys() : keys_(data_classes * key_bytes) {}
  std::span<const std::byte> key_of(DataClass data) const;

  Id id_{};
  ReaderRole role_ = ReaderRole::everything;
  SecretBytes keys_;  // [class, key_bytes]; those that the role has not are zero
};

/// "9f86d0..." of bytes.
std::string hex_of(std::span<const std::byte> bytes);
/// The other way round; false where the text is not exactly so many bytes.
[[nodiscard]] bool bytes_of_hex(std::string_view text, std::span<std::byte> bytes);

}  // namespace vitrine
