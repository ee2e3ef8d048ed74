#include "probes/protection/secret.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

// A key file is one line: this, the key in base64url, a line break.
constexpr std::string_view key_mark = "vitrine-key-1 ";
constexpr std::size_t base64_bytes = 43;
static_assert(sodium_base64_ENCODED_LEN(key_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == base64_bytes + 1);

/// A file descriptor that closes itself.
struct File {
  int id;
  explicit File(int opened) : id(opened) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (id >= 0) close(id);
  }
};

unsigned char* unsigned_bytes(std::span<std::byte> bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace

void start_sodium() {
  static const int started = sodium_init();
  VITRINE_CHECK(started >= 0);
}

SecretBytes::SecretBytes(std::size_t size) : size_(size) {
  start_sodium();
  data_.reset(static_cast<std::byte*>(sodium_malloc(size)));
  if (!data_) throw Error({"memory for secrets", std::to_string(size) + " bytes", std::strerror(errno), ""});
}

void SecretBytes::Free::operator()(std::byte* data) const { sodium_free(data); }

ReaderSecret::ReaderSecret(Kind kind, SecretBytes bytes) : kind_(kind), bytes_(std::move(bytes)) {
  if (kind == Kind::passphrase && bytes_.size() == 0) throw Error({"passphrase", "at least one character", "none", ""}, Fault::usage);
  VITRINE_CHECK(kind == Kind::passphrase || bytes_.size() == key_bytes);
}

void write_new_key(const std::filesystem::path& path) {
  SecretBytes key(key_bytes), line(key_mark.size() + base64_bytes + 1);
  randombytes_buf(key.span().data(), key_bytes);
  std::memcpy(line.span().data(), key_mark.data(), key_mark.size());
  // The encoder's closing zero becomes the line break.
  sodium_bin2base64(reinterpret_cast<char*>(line.span().data()) + key_mark.size(), base64_bytes + 1, unsigned_bytes(key.span()), key_bytes,
                    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  line.span().back() = std::byte{'\n'};
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (file.id < 0) throw Error({path.string(), "a new file for a key", std::strerror(errno), errno == EEXIST ? "a key is never overwritten: choose another name" : ""});
  if (write(file.id, line.span().data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(file.id) == 0) return;
  const std::string reason = std::strerror(errno);
  unlink(path.c_str());
  throw Error({path.string(), "to write a key", reason, ""});
}

SharedSecret read_key(const std::filesystem::path& path) {
  const Error no_key({path.string(), "a key made by `vitrine key new`", "something else", ""});
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.id < 0) throw Error({path.string(), "a key made by `vitrine key new`", std::strerror(errno), ""});
  SecretBytes line(key_mark.size() + base64_bytes + 2), key(key_bytes);
  const ssize_t count = read(file.id, line.span().data(), line.size());
  const std::size_t whole = key_mark.size() + base64_bytes;
  const auto* text = reinterpret_cast<const char*>(line.span().data());
  const bool ended = count == static_cast<ssize_t>(whole) || (count == static_cast<ssize_t>(whole) + 1 && text[whole] == '\n');
  if (!ended || std::memcmp(text, key_mark.data(), key_mark.size()) != 0) throw no_key;
  std::size_t size = 0;
  if (sodium_base642bin(unsigned_bytes(key.span()), key_bytes, text + key_mark.size(), base64_bytes, nullptr, &size, nullptr,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 || size != key_bytes) {
    throw no_key;
  }
  return std::make_shared<ReaderSecret>(ReaderSecret::Kind::key, std::move(key));
}

SharedSecret secret_of_environment() {
  const char* path = std::getenv("VITRINE_KEY_FILE");
  return path != nullptr && *path != '\0' ? read_key(path) : nullptr;
}

}  // namespace vitrine
