#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace vitrine {

/// All bytes of a file, as one text; none where no file has the name.
/// @throws Error where it holds more than `most` MiB or cannot be read
std::optional<std::string> read_whole_file(const std::filesystem::path& path, std::uint64_t most);

}  // namespace vitrine
