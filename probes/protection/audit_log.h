#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "probes/protection/file_keys.h"

// Who opened and exported what of a protected recording: a file beside it, one JSON object a line. Each entry holds the
// SHA-256 of the one before it, so that none can be changed, taken out or put between without those behind it telling; and a
// code that only holders of a key can make. Whoever has a key can write the whole file anew: to notice that, keep the head.

namespace vitrine {

struct AuditEvent {
  std::string action;                  ///< "record", "open", "read", "export", "grant", ...
  std::string detail{};                ///< where an export went, whom a grant reached
  std::vector<std::string> datasets{};
};

/// "run.h5.audit"
std::filesystem::path audit_path(const std::filesystem::path& recording);

/// Puts an entry behind the others, whoever else writes at the same time; it is on the disk when this returns.
/// @throws Error where it cannot be: then nothing should be done that would have to stand in it
void append_audit(const std::filesystem::path& recording, const FileKeys& keys, const AuditEvent& event);

struct AuditCheck {
  std::vector<Json> entries;          ///< null where a line is no entry
  std::string head;                   ///< hash of the last entry; of none: zeros
  std::optional<std::size_t> broken;  ///< the first entry that does not fit
  std::string reason;                 ///< why
  std::size_t unproven = 0;           ///< entries whose code could not be checked: without keys, or of an earlier recording
};
/// @param keys  null: codes are not checked
/// @throws Error where there is no log
AuditCheck check_audit(const std::filesystem::path& recording, const FileKeys* keys);

}  // namespace vitrine
