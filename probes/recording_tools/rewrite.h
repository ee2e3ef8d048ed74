#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/run.h"

namespace vitrine {

/// What went into a file that was written anew.
struct Rewritten {
  struct Part {
    std::string file;
    bool finished = false;  ///< whether its writer ended well
    bool squares_left_out = false;  ///< it held squares of maps, which the new file does not
    std::size_t sequences = 0, rows = 0;
    /// A sequence whose writer was stopped in its midst: its place, and how many rows were announced.
    std::optional<std::size_t> cut_sequence;
    std::size_t cut_rows = 0, announced_rows = 0;
  };
  std::vector<Part> parts{};
  bool unchanged = false;  ///< there was nothing to mend: the file is as it was
  std::size_t sequences = 0, rows = 0, bytes = 0;  ///< of the new file
};

/// Makes a finished recording of every committed row: datasets cut to them, summaries made from them, no flag of a writer
/// left. The new file is read as any recording before it takes its place, in one step; where anything fails the old one
/// stays as it was.
/// @param output  may be `run` itself, where nobody writes it; a finished one then stays as it is
/// @throws Error where nothing can be read, the file is still being written, or the disk is full
Rewritten repair_recording(const std::filesystem::path& run, const std::filesystem::path& output, Run& progress);

/// All sequences of several finished recordings in one file, in their order. They must be of one model, with the same points,
/// precision and kernel; f16 beside f32 becomes f32.
/// @throws Error naming the first difference
Rewritten merge_recordings(std::span<const std::filesystem::path> runs, const std::filesystem::path& output, Run& progress);

}  // namespace vitrine
