#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "kernels/pattern/pattern.h"

namespace vitrine {

/// Whether the file begins as HDF5 files do; false where it cannot be read.
bool is_hdf5_file(const std::filesystem::path& path);

/// A recording read back. Opening checks every shape and type against FORMAT.md, first in a child process, whose death
/// is the error message (libhdf5 itself can fall over a hostile file). One thread uses a recording at a time.
class Recording {
 public:
  /// @throws Error with one clear line
  static std::unique_ptr<Recording> open(const std::filesystem::path& path);
  virtual ~Recording() = default;

  virtual const std::filesystem::path& path() const = 0;
  virtual const Json& provenance() const = 0;  ///< root attributes: model, architecture, precision, kernel, provenance, ...
  virtual bool finished() const = 0;           ///< false: it is still being written, or its writer was stopped

  virtual std::size_t sequences() const = 0;
  struct Rows {
    std::size_t begin = 0, count = 0;  ///< in the concatenated rows
  };
  virtual Rows rows_of(std::size_t sequence) const = 0;
  virtual std::vector<std::int32_t> token_ids(std::size_t sequence) const = 0;
  /// The bytes of each token; empty strings where the model had no tokenizer.
  virtual std::vector<std::string> token_texts(std::size_t sequence) const = 0;
  /// NaN for a first token; empty where none were recorded.
  virtual std::vector<float> log_probabilities(std::size_t sequence) const = 0;

  /// A group below /attention.
  struct Module {
    std::string name;       ///< "blocks.3.attn"
    std::size_t block = 0;
    std::size_t heads = 0, kv_heads = 0, head_dim = 0;
    ScoreRule score;        ///< as the model asks
    PatternRule rule;       ///< as the kernel applied
  };
  virtual std::span<const Module> modules() const = 0;  ///< in block order

  /// Factors of one head of one sequence as f32, good for any number of tiles.
  struct Head {
    std::vector<float> q, k, normalizer, threshold;
    PatternFactors factors;  ///< looks at the vectors beside it
  };
  virtual std::shared_ptr<const Head> head(const Module& module, std::size_t head, std::size_t sequence) const = 0;
  /// A row statistic of the recorder ("entropy", "distance", "first_key"): [rows of the sequence * heads].
  virtual std::vector<float> row_statistic(const Module& module, std::string_view name, std::size_t sequence) const = 0;

  struct Dataset {
    std::string name;  ///< "/activations/blocks.0.hook_resid_pre"
    std::string type;
    std::vector<std::size_t> shape;
    std::size_t bytes = 0;
  };
  /// Everything below /activations, /logits included.
  virtual std::span<const Dataset> activations() const = 0;
  /// Rows of an activation as f32, packed. `rows` counts in the concatenated rows.
  virtual std::vector<float> activation(const Dataset& dataset, Rows rows) const = 0;
};

}  // namespace vitrine
