#include "probes/protection/file_keys.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(FileKeys::overhead == nonce_bytes + tag_bytes && key_bytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

const unsigned char* raw(std::span<const std::byte> bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* raw(std::span<std::byte> bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

void seal_with(std::span<const std::byte> key, std::string_view bound, std::span<const std::byte> plain, std::span<std::byte> sealed) {
  VITRINE_CHECK(sealed.size() == plain.size() + FileKeys::overhead);
  randombytes_buf(sealed.data(), nonce_bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(raw(sealed) + nonce_bytes, nullptr, raw(plain), plain.size(), reinterpret_cast<const unsigned char*>(bound.data()),
                                             bound.size(), nullptr, raw(sealed), raw(key));
}

bool open_with(std::span<const std::byte> key, std::string_view bound, std::span<const std::byte> sealed, std::span<std::byte> plain) {
  VITRINE_CHECK(sealed.size() == plain.size() + FileKeys::overhead);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(raw(plain), nullptr, nullptr, raw(sealed) + nonce_bytes, sealed.size() - nonce_bytes,
                                                    reinterpret_cast<const unsigned char*>(bound.data()), bound.size(), raw(sealed), raw(key)) == 0;
}

constexpr std::array<std::string_view, 3> role_names{"summaries", "text", "everything"};

// A wrapped set of keys: kind of secret, effort of Argon2id (passes and bytes; 0 for keys), salt, then sealed: role, keys.
struct WrapHeader {
  std::uint64_t kind = 0, passes = 0, memory = 0;
  std::array<std::byte, crypto_pwhash_SALTBYTES> salt{};
};
constexpr std::size_t sealed_keys = 8 + data_classes * key_bytes;
static_assert(sizeof(WrapHeader) + sealed_keys + FileKeys::overhead == FileKeys::wrapped_bytes);
// A stranger's file must not make us work for ever.
constexpr std::uint64_t most_passes = 8, most_memory = std::uint64_t{1} << 29;

std::string bound_of_wrap(const FileKeys::Id& id, const WrapHeader& header) {
  std::string bound = "vitrine reader 1";
  bound.append(reinterpret_cast<const char*>(id.data()), id.size());
  bound.append(reinterpret_cast<const char*>(&header), sizeof header);
  return bound;
}

/// The key that wraps: the reader's own, or what Argon2id makes of a passphrase.
SecretBytes wrapping_key(const ReaderSecret& secret, const WrapHeader& header) {
  SecretBytes key(key_bytes);
  if (secret.kind() == ReaderSecret::Kind::key) {
    std::ranges::copy(secret.bytes(), key.span().begin());
    return key;
  }
  const int status = crypto_pwhash(raw(key.span()), key_bytes, reinterpret_cast<const char*>(secret.bytes().data()), secret.bytes().size(),
                                   raw(header.salt), header.passes, header.memory, crypto_pwhash_ALG_ARGON2ID13);
  if (status != 0) throw Error({"passphrase", std::to_string(header.memory >> 20) + " MiB of memory to make a key of it", "less", ""});
  return key;
}

}  // namespace

DataClass class_of(std::string_view dataset) {
  constexpr std::string_view encoder = "/encoder";
  if (dataset.starts_with("/encoder/")) dataset.remove_prefix(encoder.size());
  if (dataset.starts_with("/sequences/") || dataset.starts_with("/summary/")) return DataClass::summaries;
  if (dataset.starts_with("/tokens/") || dataset.starts_with("/top_logits/") || dataset == "/logits") return DataClass::text;
  return DataClass::values;
}

std::string_view reader_role_name(ReaderRole role) { return role_names[static_cast<std::size_t>(role)]; }

ReaderRole parse_reader_role(std::string_view word, const std::string& flag) {
  const auto found = std::ranges::find(role_names, word);
  if (found != role_names.end()) return static_cast<ReaderRole>(found - role_names.begin());
  throw Error({flag, "the role summaries, text or everything", quoted(word, 40), ""}, Fault::usage);
}

FileKeys FileKeys::create() {
  FileKeys keys;
  randombytes_buf(keys.id_.data(), keys.id_.size());
  randombytes_buf(keys.keys_.span().data(), keys.keys_.size());
  return keys;
}

std::span<const std::byte> FileKeys::key_of(DataClass data) const {
  VITRINE_CHECK(opens(data));
  return keys_.span().subspan(static_cast<std::size_t>(data) * key_bytes, key_bytes);
}

void FileKeys::seal(DataClass data, std::string_view bound, std::span<const std::byte> plain, std::span<std::byte> sealed) const {
  seal_with(key_of(data), bound, plain, sealed);
}

bool FileKeys::open(DataClass data, std::string_view bound, std::span<const std::byte> sealed, std::span<std::byte> plain) const {
  return open_with(key_of(data), bound, sealed, plain);
}

std::array<std::byte, 32> FileKeys::authenticate(std::string_view message) const {
  std::array<std::byte, 32> code{};
  const std::span<const std::byte> key = key_of(DataClass::summaries);
  crypto_generichash(raw(std::span<std::byte>(code)), code.size(), reinterpret_cast<const unsigned char*>(message.data()), message.size(), raw(key), key.size());
  return code;
}

FileKeys::Wrapped FileKeys::wrap(const Reader& reader) const {
  if (reader.role > role_) {
    throw Error({"a reader of " + std::string(reader_role_name(reader.role)), "a key of that role to share", "one of " + std::string(reader_role_name(role_)), ""});
  }
  WrapHeader header{.kind = static_cast<std::uint64_t>(reader.secret->kind())};
  if (reader.secret->kind() == ReaderSecret::Kind::passphrase) {
    header.passes = crypto_pwhash_OPSLIMIT_MODERATE;
    header.memory = crypto_pwhash_MEMLIMIT_MODERATE;
    randombytes_buf(header.salt.data(), header.salt.size());
  }
  SecretBytes content(sealed_keys);
  std::ranges::fill(content.span(), std::byte{0});
  content.span()[0] = static_cast<std::byte>(reader.role);
  std::copy_n(keys_.span().begin(), (static_cast<std::size_t>(reader.role) + 1) * key_bytes, content.span().begin() + 8);
  Wrapped wrapped{};
  std::memcpy(wrapped.data(), &header, sizeof header);
  const SecretBytes key = wrapping_key(*reader.secret, header);
  seal_with(key.span(), bound_of_wrap(id_, header), content.span(), std::span(wrapped).subspan(sizeof header, sealed_keys + overhead));
  return wrapped;
}

bool FileKeys::is_reader(std::span<const std::byte, wrapped_bytes> wrapped) {
  return std::ranges::any_of(wrapped, [](std::byte each) { return each != std::byte{0}; });
}

std::optional<FileKeys> FileKeys::unwrap(const Id& id, std::span<const std::byte, wrapped_bytes> wrapped, const ReaderSecret& secret) {
  WrapHeader header;
  std::memcpy(&header, wrapped.data(), sizeof header);
  if (header.kind != static_cast<std::uint64_t>(secret.kind()) || header.passes > most_passes || header.memory > most_memory) return std::nullopt;
  SecretBytes content(sealed_keys);
  const SecretBytes key = wrapping_key(secret, header);
  if (!open_with(key.span(), bound_of_wrap(id, header), wrapped.subspan(sizeof header, sealed_keys + overhead), content.span())) return std::nullopt;
  FileKeys keys;
  keys.id_ = id;
  keys.role_ = static_cast<ReaderRole>(std::min<std::size_t>(static_cast<std::size_t>(content.span()[0]), role_names.size() - 1));
  std::ranges::copy(content.span().subspan(8), keys.keys_.span().begin());
  return keys;
}

std::string hex_of(std::span<const std::byte> bytes) {
  std::string text(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), raw(bytes), bytes.size());
  text.pop_back();
  return text;
}

bool bytes_of_hex(std::string_view text, std::span<std::byte> bytes) {
  std::size_t size = 0;
  return text.size() == 2 * bytes.size() && sodium_hex2bin(raw(bytes), bytes.size(), text.data(), text.size(), nullptr, &size, nullptr) == 0 && size == bytes.size();
}

}  // namespace vitrine
