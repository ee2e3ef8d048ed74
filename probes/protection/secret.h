#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace vitrine {

/// Bytes that nobody else may see: locked into memory where the system lets us, between guard pages, left out of core dumps,
/// overwritten when they go (libsodium's sodium_malloc). Moved, never copied.
class SecretBytes {
 public:
  /// Unspecified contents.
  explicit SecretBytes(std::size_t size);
  std::span<std::byte> span() { return {data_.get(), size_}; }
  std::span<const std::byte> span() const { return {data_.get(), size_}; }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_;
};

/// What a reader of protected recordings has: a key (32 random bytes in a file), or a passphrase, from which Argon2id makes
/// a key for each recording.
class ReaderSecret {
 public:
  enum class Kind : unsigned char { key = 1, passphrase = 2 };
  /// @throws Error where a passphrase is empty
  ReaderSecret(Kind kind, SecretBytes bytes);

  Kind kind() const { return kind_; }
  std::span<const std::byte> bytes() const { return bytes_.span(); }

 private:
  Kind kind_;
  SecretBytes bytes_;
};
using SharedSecret = std::shared_ptr<const ReaderSecret>;

constexpr std::size_t key_bytes = 32;

/// Makes a key and writes it into a new file that only its owner may read. @throws Error where a file is there already
void write_new_key(const std::filesystem::path& path);

/// @throws Error naming the file, never what is in it
SharedSecret read_key(const std::filesystem::path& path);

/// The key of the file that the environment variable VITRINE_KEY_FILE names; null where it names none.
SharedSecret secret_of_environment();

/// Starts libsodium; every function here has called it.
void start_sodium();

}  // namespace vitrine
