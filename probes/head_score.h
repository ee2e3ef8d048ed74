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

/// Adds, for each row whose token stood in the text before, the weight on the key `offset` behind its latest copy.
void add_weights_at_copies(const PatternBand& band, std::size_t offset, HeadScoreSum& sum);

/// A per-head score: sums over rows, divided at the end. Extension point: probes/head_scores/<name>.cpp; the comment at the
/// head of the file defines it and names its source.
struct HeadScore {
  std::string_view name;  ///< column of `vitrine heads`
  std::string_view summary;
  std::string_view source;
  std::string_view unit;  ///< "nats", "tokens", "share"
  using Sum = HeadScoreSum;
  void (*accumulate)(const PatternBand& band, Sum& sum);
  bool within_text = true;  ///< undefined where the keys are another text's, in cross attention
  std::string_view row_statistic{};  ///< of the recorder, whose mean is the same; empty: none
};

std::span<const HeadScore* const> all_head_scores();

struct HeadRow {
  std::string module;  ///< "blocks.3.attn"
  std::size_t layer = 0;
  std::size_t head = 0;
  std::vector<std::optional<double>> scores;  ///< in the order of all_head_scores(); empty = undefined on this text
};

/// Every head of a recording, all sequences pooled by rows. One row a head, by layer and head.
std::vector<HeadRow> head_table(const Recording& recording, ThreadPool& pool, Run& run);

}  // namespace vitrine
