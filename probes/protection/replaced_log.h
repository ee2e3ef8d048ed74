#pragma once

#include <filesystem>
#include <optional>

namespace vitrine {

/// A recording that is not protected has taken a protected one's place: the old one's audit log, which would say of the new file what
/// happened to another, gets a name of its own beside it, `<run>.audit.replaced`, or with the first number that is free behind it. The
/// log itself stays as it was: nobody here has the key that its next entry would need.
/// @return the new name; none where there was no log  @throws Error where it cannot be moved
std::optional<std::filesystem::path> put_audit_aside(const std::filesystem::path& recording);

}  // namespace vitrine
