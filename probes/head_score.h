#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/run.h"
#include "core/base/thread_pool.h"
#include "probes/recording.h"

namespace vitrine {

/// Rows of one head's attention as an analysis sees it: a band of consecutive queries, all keys.
struct PatternBand {
  std::size_t first_row;               ///< position of the band's first query
  TensorView<const float, 2> weights;  ///< [rows, keys]; 0 where masked
  std::span<const std::int32_t> ids;   ///< all tokens of the sequence; none where queries and keys are of two texts
  /// Position of the latest earlier token equal to ids[i]; none where there is no such token.
  std::span<const std::optional<std::size_t>> earlier;
};

struct HeadScoreSum {
  double total = 0.0;
  double count = 0.0;
};

/// A per-head score: the mean over the rows that count. Extension point: probes/head_scores/<name>.cpp; the comment at the
/// head of the file defines it and names its source. How a row is scored is said by what its map's row holds (`accumulate`), or
/// by one key of it (`key`), whose weight alone is then made.
struct HeadScore {
  std::string_view name;  ///< column of `vitrine heads`
  std::string_view summary;
  std::string_view source;
  std::string_view unit;  ///< "nats", "tokens", "share"
  using Sum = HeadScoreSum;
  void (*accumulate)(const PatternBand& band, Sum& sum) = nullptr;  ///< null where there is a key
  /// The key whose weight is the number of a row; none where the row does not count. @param earlier  as PatternBand's
  using Key = std::optional<std::size_t> (*)(std::size_t row, std::span<const std::optional<std::size_t>> earlier);
  Key key = nullptr;
  bool within_text = true;  ///< undefined where the keys are another text's, in cross attention
  /// The same number of each row from inside the kernel, as the recorder stored it; empty: there is none.
  std::string_view row_statistic{};
  std::size_t first_row = 0;  ///< of a text, from which on the statistic counts
};

std::span<const HeadScore* const> all_head_scores();

/// Adds the rows of a band by the score's own definition.
void add_rows(const HeadScore& score, const PatternBand& band, HeadScoreSum& sum);

struct HeadRow {
  std::string module;  ///< "blocks.3.attn"
  std::size_t layer = 0;
  std::size_t head = 0;
  std::vector<std::optional<double>> scores;  ///< in the order of all_head_scores(); empty = undefined on this text
};

/// Every head of a recording, all sequences pooled by rows. One row a head, by layer and head. Scores that the recorder stored row by
/// row are read; of the others only the cells of the map are made that they ask for.
std::vector<HeadRow> head_table(const Recording& recording, ThreadPool& pool, Run& run);

}  // namespace vitrine
