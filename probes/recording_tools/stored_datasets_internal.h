#pragma once

#include <memory>
#include <string>
#include <vector>

#include "probes/checked_file_internal.h"
#include "probes/recording.h"

namespace vitrine {

/// What the first axis of a dataset counts.
enum class Counted { rows, text_bytes, byte_borders, sequences, nothing };

/// A dataset of a recording as it is stored.
struct StoredDataset {
  std::string name;
  CheckedFile::Info info;  ///< its first extent is the file's, whatever was committed
  Counted counted = Counted::nothing;
  Recording::Side side = Recording::Side::text;
  std::string same_as;  ///< name of the dataset that this one is a hard link to; empty of the first of them
};

/// A recording, and its file for what Recording does not show.
struct StoredRecording {
  /// A protected one is opened by the key that VITRINE_KEY_FILE names. @throws Error as Recording::open
  explicit StoredRecording(const std::filesystem::path& path);

  std::unique_ptr<Recording> recording;
  CheckedFile file;
  std::vector<CheckedFile::Object> objects;
  std::vector<StoredDataset> datasets;  ///< in the order of their names

  const StoredDataset* find(std::string_view name) const;
  /// Rows of a side that were committed and belong to a sequence.
  std::size_t rows(Recording::Side side) const;
  /// Committed bytes of the tokens' texts of a side.
  std::size_t text_bytes(Recording::Side side) const;
  /// Committed entries of the dataset's first axis.
  std::size_t committed(const StoredDataset& dataset) const;
};

/// "" or "/encoder", before "/tokens" and "/sequences".
std::string prefix_of(Recording::Side side);
/// Numbers in an entry of the first axis.
std::size_t entry_numbers(const CheckedFile::Info& info);
/// Entries [begin, begin + count) of the first axis.
CheckedFile::Box entries(const CheckedFile::Info& info, std::size_t begin, std::size_t count);
/// Calls `work` with the beginning and length of slabs of at most 8 MiB of f32 that cover `count` entries.
template <typename Work>
void for_slabs(const CheckedFile::Info& info, std::size_t count, const Work& work) {
  constexpr std::size_t slab_numbers = std::size_t{1} << 21, aligned = 512;  // chunks have at most 512 rows
  std::size_t step = slab_numbers / std::max<std::size_t>(entry_numbers(info), 1);
  step = step > aligned ? step / aligned * aligned : std::max<std::size_t>(step, 1);
  for (std::size_t begin = 0; begin < count; begin += step) work(begin, std::min(step, count - begin));
}

}  // namespace vitrine
