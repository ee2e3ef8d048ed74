#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "probes/recording_tools/check_internal.h"

namespace vitrine {
namespace {

using Side = Recording::Side;

constexpr std::size_t rows_at_once = 32;
constexpr double log_tolerance = 1e-4;  // of a log-probability: sums of a vocabulary's exponentials in f32

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", value);
  return text;
}

std::string row_name(std::string_view dataset, std::size_t row) { return std::string(dataset) + "[" + std::to_string(row) + "]"; }

/// Ids, and places in the text, of one side.
void check_table(const Check& check, Side side) {
  const CheckedFile& file = check.stored.file;
  const std::string prefix = prefix_of(side);
  const std::size_t rows = check.stored.rows(side);
  const std::int64_t vocabulary = check.recording().provenance()["vocabulary"].integer();
  const auto ids = file.read<std::int32_t>(prefix + "/tokens/id", {{0}, {rows}});
  const auto begins = file.read<std::uint64_t>(prefix + "/tokens/begin", {{0}, {rows}}),
             ends = file.read<std::uint64_t>(prefix + "/tokens/end", {{0}, {rows}});
  check.result.numbers += 3 * rows;
  for (std::size_t row = 0; row < rows; ++row) {
    if (ids[row] < 0 || ids[row] >= vocabulary)
      return check.find(row_name(prefix + "/tokens/id", row), "an id below " + std::to_string(vocabulary), std::to_string(ids[row]));
  }
  for (std::size_t row = 0; row < rows; ++row) {
    if (begins[row] > ends[row])
      return check.find(row_name(prefix + "/tokens/begin", row), "a token that does not end before it begins",
                        std::to_string(begins[row]) + " to " + std::to_string(ends[row]));
  }
  const auto borders =
      rows > 0 ? file.read<std::uint64_t>(prefix + "/tokens/bytes_offset", {{0}, {rows + 1}}) : std::vector<std::uint64_t>{0};
  if (borders.front() != 0 || !std::ranges::is_sorted(borders))
    check.find(prefix + "/tokens/bytes_offset", "borders from 0 that never fall", "others");
}

/// The largest logits of a row, as they are stored.
struct TopLogits {
  std::span<const std::int32_t> ids;
  std::span<const float> values;
  double log_sum;
  std::span<const float> all;  // where they were stored whole
};

/// Some rows of one sequence, read at once.
struct LogitRows {
  std::size_t begin, top;
  std::vector<std::int32_t> top_ids, ids;  // [rows, top], [rows]
  std::vector<float> values, log_sums, log_probabilities, all;

  LogitRows(const Check& check, std::size_t first, std::size_t count, std::size_t width) : begin(first), top(width) {
    const CheckedFile& file = check.stored.file;
    top_ids = file.read<std::int32_t>("/top_logits/id", {{begin, 0}, {count, top}});
    values = file.read<float>("/top_logits/value", {{begin, 0}, {count, top}});
    log_sums = file.read<float>("/top_logits/log_sum_exp", {{begin}, {count}});
    ids = file.read<std::int32_t>("/tokens/id", {{begin}, {count}});
    log_probabilities = file.read<float>("/tokens/log_probability", {{begin}, {count}});
    if (const StoredDataset* logits = check.stored.find("/logits")) all = file.read<float>("/logits", entries(logits->info, begin, count));
  }

  TopLogits of(std::size_t row) const {
    const std::size_t at = row - begin, vocabulary = all.size() / log_sums.size();
    return {std::span(top_ids).subspan(at * top, top), std::span(values).subspan(at * top, top), log_sums[at],
            std::span(all).subspan(at * vocabulary, vocabulary)};
  }
};

/// Ids all different, values falling, none above the logarithm of the sum.
void check_top_row(const Check& check, std::size_t row, const TopLogits& top) {
  const bool finite = std::ranges::all_of(top.values, [](float value) { return std::isfinite(value); }) && std::isfinite(top.log_sum);
  if (!finite) return check.find(row_name("/top_logits/value", row), "finite numbers", "others");
  if (!std::ranges::is_sorted(top.values, std::greater<>()))
    check.find(row_name("/top_logits/value", row), "the largest first", "another order");
  if (std::set(top.ids.begin(), top.ids.end()).size() != top.ids.size())
    check.find(row_name("/top_logits/id", row), "every id once", "one twice");
  double sum = 0.0;
  for (const float value : top.values) sum += std::exp(value - top.log_sum);
  if (sum > 1.0 + log_tolerance)
    check.find(row_name("/top_logits/log_sum_exp", row), "probabilities that sum to no more than 1", text_of(sum));
}

/// The probability of a row's token as the logits of the row before it give it.
void check_probability(const Check& check, const LogitRows& rows, std::size_t row) {
  const TopLogits top = rows.of(row - 1);
  const double stored = rows.log_probabilities[row - rows.begin];
  const std::int32_t id = rows.ids[row - rows.begin];
  const std::string where = row_name("/tokens/log_probability", row);
  const auto found = std::ranges::find(top.ids, id);
  if (found == top.ids.end()) {
    const double most = top.values.back() - top.log_sum;
    if (!(stored <= most + log_tolerance)) check.find(where, "at most " + text_of(most) + ", the least of the top logits", text_of(stored));
    return;
  }
  const double expected = top.values[static_cast<std::size_t>(found - top.ids.begin())] - top.log_sum;
  if (!(std::fabs(stored - expected) <= log_tolerance)) check.find(where, text_of(expected) + " by the top logits", text_of(stored));
}

/// The largest logits against those that were stored whole.
void check_logits_row(const Check& check, std::size_t row, const TopLogits& top) {
  if (top.all.empty()) return;
  const double tolerance =
      check.stored.find("/logits")->info.type == "f32" ? log_tolerance : std::fabs(top.values[0]) / 128.0 + log_tolerance;
  double sum = 0.0;
  for (const float value : top.all) sum += std::exp(value - top.log_sum);
  if (!(std::fabs(std::log(sum)) <= tolerance))
    check.find(row_name("/top_logits/log_sum_exp", row), text_of(top.log_sum + std::log(sum)) + " by /logits", text_of(top.log_sum));
  for (std::size_t i = 0; i < top.ids.size(); ++i) {
    const std::int32_t id = top.ids[i];
    if (id < 0 || static_cast<std::size_t>(id) >= top.all.size())
      return check.find(row_name("/top_logits/id", row), "an id of the vocabulary", std::to_string(id));
    const double value = top.all[static_cast<std::size_t>(id)];
    if (!(std::fabs(value - top.values[i]) <= tolerance))
      return check.find(row_name("/top_logits/value", row), text_of(value) + " by /logits", text_of(top.values[i]));
  }
}

void check_probabilities(const Check& check) {
  if (!check.stored.find("/tokens/log_probability")) return;
  const StoredDataset* top = check.stored.find("/top_logits/value");
  if (!top || top->info.shape.size() != 2 || top->info.shape[1] == 0)
    return check.find("/top_logits/value", "[pos, n] beside /tokens/log_probability", top ? "another shape" : "none");
  const std::size_t findings = check.result.findings.size(), count = top->info.shape[1];
  for (std::size_t sequence = 0; sequence < check.recording().sequences(); ++sequence) {
    const Recording::Rows rows = check.recording().rows_of(sequence);
    if (rows.count > 0 && !std::isnan(check.recording().log_probabilities(sequence)[0]))
      check.find(row_name("/tokens/log_probability", rows.begin), "NaN for the first token of a sequence", "a number");
    const std::size_t end = rows.begin + rows.count;
    for (std::size_t begin = rows.begin; begin < end; begin += rows_at_once) {
      // One more row than is done, whose token's probability the last of them gives.
      const LogitRows logits(check, begin, std::min(rows_at_once + 1, end - begin), count);
      for (std::size_t row = begin; row < std::min(begin + rows_at_once, end); ++row) {
        check_top_row(check, row, logits.of(row));
        check_logits_row(check, row, logits.of(row));
        if (row + 1 < end) check_probability(check, logits, row + 1);
        check.result.numbers += 2 * count + 2;
        if (check.result.findings.size() > findings + 10) return;  // the rest would say the same
      }
    }
    check.progress.step("tokens", sequence + 1, check.recording().sequences());
  }
}

}  // namespace

void check_tokens(const Check& check) {
  check_table(check, Side::text);
  if (check.recording().has_encoder()) check_table(check, Side::encoder);
  check_probabilities(check);
}

}  // namespace vitrine
