#include "core/checkpoint/checkpoint.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/checkpoint/hub_cache.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// What lies in a folder, for people: at most twelve names.
std::string content_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  const std::size_t most = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i > 0 ? ", " : "") + quoted(names[i]);
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return names.empty() ? "an empty folder" : "a folder of " + text;
}

}  // namespace

const NamedTensor* Checkpoint::find(std::string_view name) const {
  const auto found = std::lower_bound(tensors.begin(), tensors.end(), name,
                                      [](const NamedTensor& tensor, std::string_view n) { return tensor.name < n; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

Checkpoint open_checkpoint(const fs::path& path) {
  const std::string spelled = path.string();
  if (spelled.starts_with("hf:")) return open_checkpoint(cached_model(spelled.substr(3)));
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw Error({spelled, "a model", "no such file or folder", ""});
  std::vector<std::string_view> known;
  for (const CheckpointFormat* format : all_checkpoint_formats()) {
    if (format->recognises(path)) return format->open(path);
    known.push_back(format->name);
  }
  throw Error({spelled, "a checkpoint (" + joined(known) + ")", fs::is_directory(path, ignored) ? content_of(path) : "something else", ""});
}

namespace {

class Sha256 {
 public:
  Sha256() {
    VITRINE_CHECK(sodium_init() >= 0);
    crypto_hash_sha256_init(&state_);
  }
  void add(const void* data, std::size_t size) { crypto_hash_sha256_update(&state_, static_cast<const unsigned char*>(data), size); }
  std::string hex() {
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&state_, digest);
    char text[2 * sizeof digest + 1];
    return sodium_bin2hex(text, sizeof text, digest, sizeof digest);
  }

 private:
  crypto_hash_sha256_state state_;
};

}  // namespace

namespace {

/// Where the hash of these very files is remembered: their names, sizes, times of change and places on the disk name it, so
/// that a changed file is hashed anew. Empty where a file cannot be looked at.
fs::path remembered_hash(const Checkpoint& checkpoint) {
  std::string identity;
  for (const fs::path& path : checkpoint.files) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return {};
    identity += fs::absolute(path).string() + "\n" + std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
                std::to_string(status.st_mtim.tv_nsec) + " " + std::to_string(status.st_ctim.tv_sec) + "." + std::to_string(status.st_ctim.tv_nsec) +
                " " + std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) + "\n";
  }
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (!cache && !home) return {};
  return (cache ? fs::path(cache) : fs::path(home) / ".cache") / "vitrine" / "sha256" / sha256(identity);
}

/// Written beside and renamed, so that nobody reads half a hash; a cache that cannot be written is no error.
void remember_hash(const fs::path& place, const std::string& hash) {
  std::error_code ignored;
  fs::create_directories(place.parent_path(), ignored);
  const fs::path part = place.string() + "." + std::to_string(::getpid());
  std::ofstream(part) << hash;
  fs::rename(part, place, ignored);
}

}  // namespace

std::string checkpoint_sha256(const Checkpoint& checkpoint) {
  const fs::path place = remembered_hash(checkpoint);
  std::string known;
  if (!place.empty() && std::getline(std::ifstream(place), known) && known.size() == 2 * crypto_hash_sha256_BYTES) return known;
  Sha256 hash;
  for (const fs::path& path : checkpoint.files) {
    const MappedFile file(path);
    hash.add(file.bytes().data(), file.bytes().size());
  }
  known = hash.hex();
  if (!place.empty()) remember_hash(place, known);
  return known;
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.hex();
}

}  // namespace vitrine
