#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/run.h"
#include "probes/recording.h"

namespace vitrine {

/// An array that is exported: its shape is known at once, its numbers come in pieces.
struct ExportArray {
  std::string name;                              ///< a hook name, "tokens.id", "blocks.5.attn.hook_pattern.8" (of one head)
  std::string type;                              ///< as stored: "f32", "f16", "bf16", "i32", "u64", "u8"
  std::vector<std::size_t> shape;                ///< of at least one axis, which counts rows
  std::size_t first_row = 0;                     ///< of the recording
  Recording::Side side = Recording::Side::text;  ///< whose rows they are
  std::optional<std::size_t> head;               ///< where the array is one head's map: the axes are [query, key]
  /// Rows [begin, begin + count) as f32, or as they are stored.
  std::function<std::vector<float>(std::size_t begin, std::size_t count)> numbers;
  std::function<std::vector<std::byte>(std::size_t begin, std::size_t count)> stored;
};

/// What an export format is given.
struct ExportJob {
  const Recording& recording;
  std::span<const ExportArray> arrays;
  std::filesystem::path path;  ///< of the file to write: nothing is there
  Run& progress;
};

/// A kind of file that recordings are exported to. Extension point: probes/exports/<name>.cpp; the name is the file's ending.
struct ExportFormat {
  std::string_view name;
  std::string_view summary;
  /// @throws Error where the disk does not take it
  void (*write)(const ExportJob& job);
};
std::span<const ExportFormat* const> all_export_formats();

/// Calls `work` with the beginning and the count of pieces of rows, each of some MB, that cover an array.
void for_pieces(const ExportArray& array, Run& progress, const std::function<void(std::size_t begin, std::size_t count)>& work);

struct ExportOptions {
  std::vector<std::string> points;      ///< hook names (with *) or the command line's short names; empty: all that is stored
  std::optional<std::size_t> sequence;  ///< none: all of them
  /// Maps that are rebuilt from the factors, of one sequence each; nothing else is exported then, unless points are named.
  struct Head {
    std::size_t layer = 0, head = 0;
  };
  std::vector<Head> maps;
};

struct Exported {
  std::vector<std::string> names;
  std::size_t bytes = 0;
};
/// Writes arrays of a recording to a file of the kind that its ending names. The file appears in one step.
/// @throws Error (usage) where the recording has no such point, sequence or head
Exported export_recording(const std::filesystem::path& run, const std::filesystem::path& output, const ExportOptions& options,
                          Run& progress);

}  // namespace vitrine
