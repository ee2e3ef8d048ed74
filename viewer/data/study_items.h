#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "viewer/data/document.h"
#include "viewer/data/item_table.h"

// From a number of a study to the items that it is made of, to their tokens, to heads.

namespace vitrine {

/// The items behind an estimate of `vitrine study pairs`, as its name says; of other studies all items.
/// @returns rows of the table
std::vector<std::size_t> rows_behind(const Estimate& estimate, const ItemTable& items);
/// The column of the items whose mean, or whose sign, the estimate is: what the list is sorted by.
std::size_t column_behind(const Estimate& estimate, const ItemTable& items);

/// Whether an estimate is the test that says whether anything can be measured at all.
bool is_competence(const Estimate& estimate);

/// A line of two sentences' tokens side by side. Log-probabilities are NaN where nothing stands before a token, or there is none.
struct PairLine {
  enum class Part { prefix, changed, rest };
  Part part = Part::prefix;
  std::optional<std::size_t> more, less;  ///< positions in their sequences
  double more_log_probability = 0.0, less_log_probability = 0.0;
  double difference() const;  ///< more - less in nats; what is missing counts nothing
};

/// Two sentences in a recording.
struct RecordedPair {
  std::shared_ptr<const Document> document;
  std::size_t more_sequence = 0, less_sequence = 0;
  std::vector<std::string> more_labels, less_labels;
  std::vector<PairLine> lines;
  double term = 0.0, association = 0.0;  ///< in nats, of sums
};
/// Shared prefix, what was exchanged, shared rest: as the study splits a pair. Log-probabilities: one for each token, NaN for a first one.
std::vector<PairLine> align(const std::vector<std::int32_t>& more, const std::vector<std::int32_t>& less, const std::vector<float>& more_log_probabilities,
                            const std::vector<float>& less_log_probabilities);
/// The first recording that holds both texts with their log-probabilities, among those of at most 64 sequences.
std::optional<RecordedPair> find_pair(const std::vector<std::shared_ptr<const Document>>& documents, const std::string& more, const std::string& less);

/// What the exchange of one head's attention pattern does, of `vitrine study mediation`.
struct HeadEffect {
  std::size_t layer = 0, head = 0;
  double value = 0.0, low = 0.0, high = 0.0;  ///< NaN where so few clusters exclude nothing
};
/// Largest absolute effect first; empty where the study has no table of heads.
std::vector<HeadEffect> head_effects(const Document& study);

}  // namespace vitrine
