#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/thread_pool.h"
#include "probes/statistics/estimate.h"

namespace vitrine {

/// What one run of a model gave on a text.
struct TextOutput {
  std::span<const float> logits;      ///< [tokens, vocabulary]; empty for a model without a head
  std::span<const double> embedding;  ///< [width], mean of the rows after the final norm
};

/// One head's attention on a text in both runs, row by row.
struct HeadMaps {
  std::vector<float> reference, variant;  ///< [tokens, tokens]
  bool causal = true;
};

/// One text, run by the reference and by a variant of the same model.
struct TextRuns {
  std::span<const std::int32_t> ids;
  TextOutput reference, variant;
  std::size_t heads = 0;                           ///< of all blocks
  std::function<HeadMaps(std::size_t head)> maps;  ///< rebuilt on each call; any thread may call it
  ThreadPool& pool;
};

/// What a metric looks at. Columns come in this order.
enum class Compared { predictions, embedding, attention };

/// How a column becomes an estimate.
enum class Judged {
  never,            ///< a value of the table, without an interval of its own
  against_control,  ///< cannot be negative, so its difference to the control's value is judged
  as_change         ///< signed: variant minus reference
};

struct MetricValue {
  double variant = 0.0;
  double reference = 0.0;  ///< of the reference itself; 0 for a distance
};

struct MetricColumn {
  std::string_view name;      ///< column of items.csv
  std::string_view heading;   ///< column of the study's table, with the unit
  std::string_view estimate;  ///< what the estimate is called
  std::string_view unit;      ///< of the estimate
  Judged judged = Judged::never;
  Direction direction = Direction::lower;
  const char* format = "%.3g";  ///< of a number of the table
  /// One number of all texts, from their values and lengths in tokens; null: the mean of the values.
  double (*pool)(std::span<const double> values, std::span<const std::size_t> tokens) = nullptr;
};

/// How far a variant of a model is from its reference, text by text. Extension point: probes/metrics/<name>.cpp; the
/// comment at the head of the file defines it. `vitrine study tradeoff` has its columns, estimates and a note.
struct Metric {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  std::string_view unit;  ///< "nats a token", "bits"; of several columns, in their order
  Compared compared;
  std::span<const MetricColumn> columns;
  /// Fills one value a column. Never called where what it compares is missing.
  void (*measure)(const TextRuns& runs, std::span<MetricValue> values);
};

std::span<const Metric* const> all_metrics();

}  // namespace vitrine
