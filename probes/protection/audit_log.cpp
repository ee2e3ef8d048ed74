#include "probes/protection/audit_log.h"

#include <fcntl.h>
#include <pwd.h>
#include <sodium.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>

#include "core/base/error.h"

namespace vitrine {
namespace {

const std::string no_hash(64, '0');

std::string hash_of(std::string_view text) {
  std::array<std::byte, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(hash.data()), reinterpret_cast<const unsigned char*>(text.data()), text.size());
  return hex_of(hash);
}

std::string text_of(const Json& json) { return json.is_string() ? json.string() : ""; }

/// What the hash of an entry is of.
std::string content_of(const Json& entry) {
  Json content = Json::object();
  for (const auto& [name, value] : entry.members()) {
    if (name != "hash" && name != "code") content.set(name, value);
  }
  return content.dump();
}

std::string code_of(const FileKeys& keys, const std::string& hash) { return hex_of(keys.authenticate("vitrine audit 1 " + hash)); }

std::string time_text() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string user_text() {
  const passwd* user = getpwuid(geteuid());
  return (user != nullptr ? std::string(user->pw_name) + " " : "") + "(" + std::to_string(geteuid()) + ")";
}

std::vector<std::string> lines_of_log(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error({path, "the audit log of a protected recording", std::strerror(errno), "it lies beside the recording"});
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// An object, or null.
Json entry_of(const std::string& line) {
  try {
    Json entry = parse_json(line, "");
    return entry.is_object() ? entry : Json();
  } catch (const Error&) {
    return {};
  }
}

/// What the next entry says of the one before it: its hash; of a line that a crash cut short, the hash of what is there.
std::string hash_of_line(const std::string& line) {
  const std::string hash = text_of(entry_of(line)["hash"]);
  return hash.empty() ? hash_of(line) : hash;
}

Json new_entry(const FileKeys& keys, const AuditEvent& event, const std::vector<std::string>& lines) {
  Json entry = Json::object().set("index", static_cast<std::uint64_t>(lines.size())).set("time", time_text()).set("user", user_text());
  entry.set("program", program_invocation_short_name).set("action", event.action).set("role", reader_role_name(keys.role()));
  entry.set("recording", hex_of(keys.id()));
  if (!event.detail.empty()) entry.set("detail", event.detail);
  Json datasets = Json::array();
  for (const std::string& dataset : event.datasets) datasets.push(dataset);
  if (!event.datasets.empty()) entry.set("datasets", std::move(datasets));
  entry.set("previous", lines.empty() ? no_hash : hash_of_line(lines.back()));
  entry = parse_json(entry.dump(), "audit");  // as it will be read: text that is no UTF-8 has been replaced
  const std::string hash = hash_of(content_of(entry));
  return entry.set("hash", hash).set("code", code_of(keys, hash));
}

/// Why an entry does not fit; empty where it does.
std::string complaint(const Json& entry, std::size_t index, const std::string& previous) {
  if (!entry.is_object()) return "it is no entry";
  if (!entry["index"].is_integer() || entry["index"].integer() != static_cast<std::int64_t>(index)) return "entries are missing before it, or were added";
  if (text_of(entry["previous"]) != previous) return "the one before it was changed, or entries are missing between them";
  if (text_of(entry["hash"]) != hash_of(content_of(entry))) return "it was changed";
  return {};
}

}  // namespace

std::filesystem::path audit_path(const std::filesystem::path& recording) { return recording.string() + ".audit"; }

void append_audit(const std::filesystem::path& recording, const FileKeys& keys, const AuditEvent& event) {
  start_sodium();
  const std::string path = audit_path(recording).string();
  const auto refuse = [&] {
    throw Error({path, "to write down who uses a protected recording", std::strerror(errno), "without an audit log nothing is read: copy both files to where you may write"});
  };
  struct File {
    int id;
    ~File() {
      if (id >= 0) close(id);  // and lets the lock go
    }
  } file{open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)};
  if (file.id < 0 || flock(file.id, LOCK_EX) != 0) refuse();
  std::string text;
  char last = '\n';
  const off_t size = lseek(file.id, 0, SEEK_END);
  if (size > 0 && pread(file.id, &last, 1, size - 1) != 1) refuse();
  if (last != '\n') text = "\n";  // a crash cut the line before short
  text += new_entry(keys, event, lines_of_log(path)).dump() + "\n";
  if (write(file.id, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || fdatasync(file.id) != 0) refuse();
}

AuditCheck check_audit(const std::filesystem::path& recording, const FileKeys* keys) {
  start_sodium();
  AuditCheck check;
  check.head = no_hash;
  const auto broken = [&](std::string reason) {
    if (check.broken) return;
    check.broken = check.entries.size() - 1;
    check.reason = std::move(reason);
  };
  for (const std::string& line : lines_of_log(audit_path(recording).string())) {
    const Json& entry = check.entries.emplace_back(entry_of(line));
    std::string reason = complaint(entry, check.entries.size() - 1, check.head);
    if (reason.empty() && check.entries.size() == 1 && text_of(entry["action"]) != "record") reason = "a log begins where the recording is made: what stood before this entry is gone";
    if (!reason.empty()) broken(reason);
    check.head = hash_of_line(line);
    if (keys == nullptr || text_of(entry["recording"]) != hex_of(keys->id())) {
      ++check.unproven;
    } else if (text_of(entry["code"]) != code_of(*keys, check.head)) {
      broken("whoever wrote it had no key");
    }
  }
  return check;
}

}  // namespace vitrine
