#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vitrine {

/// Becomes another program of the project, which lies in the folder of this one; it takes over the standard streams.
/// @throws Error where it is not there, with `advice` on how to get it
[[noreturn]] void become_program_beside(std::string_view program, std::span<const std::string> words,
                                        const std::string& advice);

}  // namespace vitrine
