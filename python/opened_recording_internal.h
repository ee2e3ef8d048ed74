#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "probes/recording.h"
#include "python/arrays_internal.h"

namespace vitrine {

using Range = std::pair<std::size_t, std::size_t>;  ///< [begin, end)

/// A part of a map; all of it where nothing is said.
struct GivenTile {
  std::size_t head = 0, sequence = 0;
  std::optional<Range> rows, keys;
};

/// A recording that Python reads, piece by piece. Python's lock is held while the file is read. All throw Error.
class OpenedRecording {
 public:
  explicit OpenedRecording(const std::string& path) : recording_(Recording::open(path)) {}

  const Recording& recording() const { return *recording_; }
  std::string info() const { return recording_->provenance().dump(); }
  std::vector<std::string> names() const;  ///< of activations, as stored
  std::vector<std::string> modules() const;
  /// (ids, bytes of each) of the text, or of the source of an encoder-decoder.
  pybind11::tuple tokens(std::size_t sequence, Recording::Side side) const;
  FloatArray log_probabilities(std::size_t sequence) const;  ///< [pos], NaN for a first token; empty where none were recorded
  /// [1, pos, ...] of one sequence, in the layout of the point.
  FloatArray activation(const std::string& name, std::size_t sequence) const;
  /// [query, key], rebuilt from the factors. @param scores  before the softmax
  FloatArray map(const std::string& module, const GivenTile& tile, bool scores) const;
  /// "q", "k" [1, pos, head, d_head] as multiplied, or "normalizer" [1, pos, head], from the factors.
  FloatArray factor(const std::string& module, const std::string& name, std::size_t sequence) const;
  /// One row a head: {"module", "layer", "head", score: value or None}.
  pybind11::list head_rows(std::size_t threads) const;

 private:
  void require_sequence(std::size_t sequence) const;
  const Recording::Module& module_named(const std::string& name) const;

  std::unique_ptr<Recording> recording_;
};

}  // namespace vitrine
