#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/base/run.h"
#include "viewer/data/document.h"

// What the browser shows of a recording: one text's maps, pooled, with labels and scores, in one file. docs/view-pack.md says how.

namespace vitrine {

/// What goes into a pack.
struct PackOrder {
  std::size_t sequence = 0;
  std::vector<std::string> finer;  ///< labels of heads ("L5H8", "cross L5H8"; "all") of up to 1,024 cells on an axis in 16 bits; the others have 256 in 8
};

/// The bytes that ViewPack reads. Every head's map: its largest weights and means as tiles of viewer/data/tiles.h.
/// @throws Error where the recording has no maps of the text, or a named head is none of its own (usage)
std::string view_pack(const std::shared_ptr<const Document>& document, const PackOrder& order, Run& run);

/// Writes it where `file` ends in .vpack (compressed by gzip), or, where it ends in .html, the browser's page with the pack inside, which
/// needs nothing else. A protected recording notes the export. @throws Error, also where no page was built
void write_view_pack(const std::shared_ptr<const Document>& document, const PackOrder& order, const std::filesystem::path& file, Run& run);

}  // namespace vitrine
