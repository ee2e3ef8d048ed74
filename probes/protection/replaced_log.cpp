#include "probes/protection/replaced_log.h"

#include <string>
#include <system_error>

#include "core/base/error.h"
#include "probes/protection/audit_log.h"

namespace vitrine {

std::optional<std::filesystem::path> put_audit_aside(const std::filesystem::path& recording) {
  const std::filesystem::path log = audit_path(recording);
  std::error_code error;
  if (!std::filesystem::is_regular_file(log, error)) return {};
  const std::string name = log.string() + ".replaced";
  std::filesystem::path aside = name;
  for (std::size_t number = 2; std::filesystem::exists(aside, error); ++number) aside = name + "." + std::to_string(number);
  std::filesystem::rename(log, aside, error);
  if (error) throw Error({log.string(), "to put the replaced recording's audit log aside", error.message(), "move it by hand, or record into another file"});
  return aside;
}

}  // namespace vitrine
