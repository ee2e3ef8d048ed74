#pragma once

#include <memory>

#include "probes/recording.h"

namespace vitrine {

/// A recording that any thread may read: libhdf5 serves one at a time, so each call waits for its turn (one for all files of the
/// process). What a recording keeps in memory (modules, names, borders) is given at once.
std::unique_ptr<Recording> share(std::unique_ptr<Recording> recording);

/// Opens a file for any thread. @throws Error as Recording::open
std::unique_ptr<Recording> open_shared(const std::filesystem::path& path);

}  // namespace vitrine
